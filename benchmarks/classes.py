"""Which class was a sample asked to be? What a classifier that never saw a sample answers.

    python benchmarks/classes.py runs/quickstart    # a table of a folder of `vqgen quickstart`, about two minutes
    python benchmarks/classes.py runs/quickstart --n 32 --guidance 3 --guidance-ramp constant --temperature 1

The classifier is a linear layer on EfficientNet-lite0's features (extra `lite0`), fitted to the tokenizer's
reconstructions of OpenMoji's training images (fitted to the images themselves, it takes all that is blurred for one
class) and judged on those of held-out images first: what it cannot tell apart among them it will not among samples. A
class is *told apart* when its own name is what the classifier answers most often for it; with ten classes, one in ten
answers would be right by chance.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqgen import Pipeline
from vqgen.data import OpenMoji
from vqgen.data.source import ImageDataset
from vqgen.metrics import feature_extractor
from vqgen.runtime import prepared_runtime
from vqgen.sampling import guidance_ramp
from vqgen.training.quickstart import SAMPLING

WEIGHT_DECAY = 1e-3


@torch.no_grad()
def features(network: nn.Module, images: Tensor) -> Tensor:
    """(b, c, H, W) in [-1, 1] to (b, d), of length 1: the classifier looks at directions."""
    return torch.cat([F.normalize(network(part), dim=1) for part in torch.split(images, 100)])


def labelled(source: ImageDataset) -> tuple[Tensor, Tensor]:
    """All images of a source and their labels."""
    batch = source.batch(range(len(source)))
    return batch.images, torch.as_tensor(batch.labels)


def reconstructed(pipeline: Pipeline, images: Tensor) -> Tensor:
    """Images through the tokenizer and back."""
    return torch.cat([pipeline.reconstruct(part) for part in torch.split(images, 100)])


def fit_classifier(inputs: Tensor, labels: Tensor, classes: int) -> nn.Linear:
    """Logistic regression in which every class weighs the same, however many images it has."""
    torch.manual_seed(0)
    classifier = nn.Linear(inputs.shape[1], classes)
    weight = len(labels) / torch.bincount(labels, minlength=classes).clamp(min=1) / classes
    optimizer = torch.optim.LBFGS(classifier.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(classifier(inputs * 20), labels, weight=weight.float())
        loss = loss + WEIGHT_DECAY * classifier.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return classifier


def confusion(classifier: nn.Linear, inputs: Tensor, labels: Tensor) -> Tensor:
    """(classes, classes): of each class, the share of each answer."""
    with torch.no_grad():
        answers = classifier(inputs * 20).argmax(1)
    classes = classifier.out_features
    counts = torch.bincount(labels * classes + answers, minlength=classes**2).view(classes, classes).float()
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a pipeline whose classes are OpenMoji's groups")
    parser.add_argument("--n", type=int, default=32, help="samples a class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=SAMPLING["temperature"])
    parser.add_argument("--top-k", type=int, default=SAMPLING["top_k"])
    parser.add_argument("--guidance", type=float, default=SAMPLING["guidance"])
    parser.add_argument("--guidance-ramp", default=SAMPLING["guidance_ramp"], choices=["constant", "linear", "cosine"])
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    source = OpenMoji(size=64)
    names = list(source.class_names)
    network = feature_extractor("lite0").to(memory_format=torch.channels_last)
    pipeline = Pipeline.from_pretrained(arguments.folder)
    with prepared_runtime():
        images, labels = labelled(source.split("train"))
        classifier = fit_classifier(features(network, reconstructed(pipeline, images)), labels, len(names))
        held_out, truth = labelled(source.split("validation"))
        decoded = confusion(classifier, features(network, reconstructed(pipeline, held_out)), truth)
        asked = [name for name in names for _ in range(arguments.n)]
        samples = pipeline.generate(
            len(asked),
            asked,
            seed=arguments.seed,
            temperature=arguments.temperature,
            top_k=arguments.top_k,
            guidance=guidance_ramp(arguments.guidance_ramp, arguments.guidance),
        )
        drawn = confusion(
            classifier, features(network, samples), torch.arange(len(names)).repeat_interleave(arguments.n)
        )
    print("| class | held-out images | samples | told apart | samples are taken for |")
    print("|---|---|---|---|---|")
    for index, name in enumerate(names):
        answers = drawn[index].topk(min(3, len(names)))
        taken = ", ".join(f"{names[i]} {share:.0%}" for share, i in zip(*answers, strict=True) if share > 0)
        cells = [name, *(f"{matrix[index, index]:.0%}" for matrix in (decoded, drawn))]
        cells += ["yes" if drawn[index].argmax() == index else "no", taken]
        print(f"| {' | '.join(cells)} |")
    shares = [matrix.diagonal().mean().item() for matrix in (decoded, drawn)]
    apart = [int((matrix.argmax(1) == torch.arange(len(names))).sum()) for matrix in (decoded, drawn)]
    print(f"| all | {shares[0]:.0%} | {shares[1]:.0%} | {apart[1]} of {len(names)} | |")
    print(f"\nOf held-out images {apart[0]} classes are told apart, of samples {apart[1]}.")
    if arguments.out:
        found = {"classes": names, "held_out": decoded.tolist(), "samples": drawn.tolist()}
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
