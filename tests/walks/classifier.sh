#!/usr/bin/env bash
# docs/tutorials/classifier.md, with a tiny BERT and few texts.
# here: --limit 100 -> --limit 12
. "$(dirname "$0")/walk.sh"
given classifier
begin
step pip install "faithbench[plot]"
step faithbench explain "the plot is dreary but the acting feels superb" --model ./my-model
step faithbench run --model ./my-model --dataset reviews.csv --limit 12 --out runs/reviews
step faithbench report runs/reviews --out report.html
step faithbench figure runs/reviews --of scores --out scores.svg
end
