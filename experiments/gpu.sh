#!/usr/bin/env bash
# What the experiment leaves to a GPU. Written from the same code that is tested on the CPU, and never
# run on a GPU by us: read it before you trust it.
#
#   experiments/gpu.sh RUN MODEL
#
# RUN: a run folder with `longtrace export --to trl` done; MODEL: a folder or name of an instruct model
# such as Qwen2.5-Coder-0.5B-Instruct.
set -euo pipefail
cd "$(dirname "$0")/.."
RUN="$1" MODEL="$2" OUT="${OUT:-runs/gpu}"
PYTHON=.venv/bin/python LONGTRACE=.venv/bin/longtrace
mkdir -p "$OUT"

# 1. The arms of the experiment with a user's model on contexts of 4K tokens and more: outcome alone,
#    rubric of right answers, rubric of everyone. Held-out questions are measured before and after.
for seed in 0 1 2 3 4; do
  for arm in "outcome --eta 0" "positive" "always --credit always"; do
    read -r name flags <<<"$arm"
    mkdir -p "$OUT/$name-$seed"
    ln -sfn "$(realpath "$RUN/dataset")" "$OUT/$name-$seed/dataset"
    # shellcheck disable=SC2086
    $LONGTRACE train --run "$OUT/$name-$seed" --model "$MODEL" --seed "$seed" --steps 200 \
      --prompts-per-step 16 --group-size 8 --max-completion-tokens 1024 $flags
  done
done

# 2. Memory and tokens a second of one GRPO step of a Qwen3-4B with random weights, LoRA, beside bare
#    TRL: the same step with a reward that returns a constant.
for tokens in 16384 32768 65536 131072; do
  $PYTHON experiments/gpu_step.py --prompt-tokens "$tokens" --reward ours || true
  $PYTHON experiments/gpu_step.py --prompt-tokens "$tokens" --reward constant || true
done
