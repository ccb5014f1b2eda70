#!/usr/bin/env bash
# docs/tutorials/decision.md, with a tiny BERT and few texts.
# here: --limit 100 -> --limit 12
. "$(dirname "$0")/walk.sh"
given classifier
begin
step pip install "faithbench[plot]"
step faithbench explain "the plot is superb but the ending seemed lifeless" --model ./my-model \
  --explainer shap_sampl --explainer occlusion --html decision.html
step faithbench explain "the plot is superb but the ending seemed lifeless" --model ./my-model \
  --explainer shap_sampl --target negative --against positive --svg decision.svg
step faithbench run --model ./my-model --dataset reviews.csv --explainer shap_sampl --explainer occlusion \
  --explainer random --metric comprehensiveness --limit 12 --out runs/defence
step faithbench compare shap_sampl random runs/defence
end
