#!/usr/bin/env bash
# docs/tutorials/explainer.md, with few texts.
# here: examples/plugin -> $repository/examples/plugin
# here: --limit 100 -> --limit 12
. "$(dirname "$0")/walk.sh"
begin
step pip install faithbench
step cp -r "$repository/examples/plugin" mine
written explainer mine/src/faithbench_example/kept_alone.py
step pip install ./mine
step faithbench list kept_alone
step faithbench check kept_alone
step faithbench run --model conv-tiny --dataset planted --explainer kept_alone --explainer occlusion \
  --explainer saliency --explainer random --metric comprehensiveness --metric evidence --limit 12 --out runs/mine
step faithbench compare kept_alone --against all runs/mine
step faithbench report runs/mine --out report.html
end
