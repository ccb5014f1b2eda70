#!/usr/bin/env bash
# docs/tutorials/table2.md, with tiny models and generated posts in HateXplain's form.
# here: leaderboards/paper/table2.toml -> $repository/leaderboards/paper/table2.toml
# here: --backbone minilm -> --backbone tiny
# here: --limit 200 -> --limit 4
. "$(dirname "$0")/walk.sh"
given hatexplain
begin
step pip install "faithbench[plot]"
step faithbench run --plan "$repository/leaderboards/paper/table2.toml" --backbone tiny --dataset hatexplain \
  --dataset "seqpg(dataset=hatexplain)" --limit 4 --out runs/table2
step faithbench table runs/table2 --like table2 --beside-paper
step faithbench table runs/table2 --like table2 --format latex
end
