#!/usr/bin/env bash
# docs/tutorials/next-token.md, with a model that has seen few sentences, and few questions.
# here: bcos-llama-tiny -> bcos-llama-tiny(tokens=20000)
# here: --limit 100 -> --limit 12
. "$(dirname "$0")/walk.sh"
begin
step pip install "faithbench[plot]"
step faithbench run --model "bcos-llama-tiny(tokens=20000)" --dataset planted-grammar --limit 12 --explainer bcos --explainer saliency --explainer input_x_gradient --explainer occlusion --explainer attention --explainer random --metric evidence_mrr --metric "evidence_mrr(adjusted=True)" --out runs/grammar
step faithbench report runs/grammar --out report.html
step faithbench explain "then Mary noticed these" --model "bcos-llama-tiny(tokens=20000)" --dataset planted-grammar --good balls --bad ball
end
