#!/usr/bin/env bash
# Timm's gradient checkpointing counts every batch twice in the batch norms of a backbone.
#
# Packages: timm==1.0.31, torch==2.14.1
# Guess: set_grad_checkpointing(True) saves memory and changes nothing else.
# Behaviour: gradients are equal bit for bit, but norms inside of checkpointed blocks take each batch
# into their running statistics twice, as if their momentum were 0.19 instead of 0.1; those of the
# stem, outside of the blocks, do it once.  A check of losses or gradients shows nothing.
# Whom it hurts: embeddings are made in evaluation mode, by these statistics: the same recipe gives
# other embeddings and thresholds, and noisier ones with the small batches for which it is switched on.
# Seen: gradients equal: True; batches counted: plain 20, checkpointed 40, its stem 20; least cosine
# of the embeddings of one photograph, of equal weights: 0.94.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'timm==1.0.31' 'torch==2.14.1'
venv/bin/python - <<'PYTHON'
import timm
import torch

def trained(checkpointing):
    torch.manual_seed(0)
    net = timm.create_model("resnet18", pretrained=False, num_classes=0).train()
    net.set_grad_checkpointing(checkpointing)
    photographs = torch.randn(8, 3, 64, 64) + 1
    for _ in range(20):  # no optimiser: the weights stay
        net.zero_grad()
        net(photographs).square().sum().backward()
    return net, photographs

plain, photographs = trained(False)
again, _ = trained(True)
equal = all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), again.parameters()))
counted = [int(net.layer1[0].bn1.num_batches_tracked) for net in (plain, again)]
stem = int(again.bn1.num_batches_tracked)
with torch.no_grad():
    a, b = (net.eval()(photographs) for net in (plain, again))
least = float(torch.nn.functional.cosine_similarity(a, b).min())
print(f"gradients equal: {equal}; batches counted: plain {counted[0]}, checkpointed {counted[1]}, "
      f"its stem {stem}; least cosine {least:.2f}")
assert equal
assert counted == [20, 40]
assert stem == 20
assert least < 0.99
PYTHON
