"""Published architectures as JSON: the genotype, the network around it, its source and its figures."""

import difflib
import json
from importlib import resources
from typing import Optional

from nasdet.genotype import Genotype


def names() -> list[str]:
    """Return the names of all entries, sorted."""
    return sorted(path.name[:-len('.json')] for path in resources.files(__name__).iterdir()
                  if path.name.endswith('.json'))


def entry(name: str) -> dict:
    """Return everything that is known of a published architecture.

    Args:
        name: One of :func:`names`.

    Returns:
        A dict with ``title``, ``source``, ``space`` and ``value`` (the genotype), ``network`` (arguments of the
        published network), ``published`` (figures of the source) and ``exact`` (parameters, and multiply-adds at a
        stated input, of ``network``).

    Raises:
        ValueError: No such entry; the nearest name is suggested.
    """
    return json.loads(_text(name))


def load(name: str) -> Genotype:
    """Return the genotype of a published architecture; ValueError where the name is unknown."""
    return Genotype.from_json(_text(name))


def build(name: str, num_classes: Optional[int] = None, **kwargs):
    """Build the published network, ready to use, with fresh weights.

    Args:
        name: One of :func:`names`.
        num_classes: Classes of a classifier; None: the published network's.
        **kwargs: Arguments of the network that are to differ, such as ``stack_times=3``.

    Returns:
        The network, an ``nn.Module``: a neck, a backbone or a classifier.
    """
    from mmdet.registry import MODELS  # heavy to import, and genotypes are read without it
    from mmengine.registry import DefaultScope

    import nasdet.models  # noqa: F401 - registers the networks
    if num_classes is not None:
        kwargs['num_classes'] = num_classes
    network = entry(name)['network']
    with DefaultScope.overwrite_default_scope('mmdet'):     # a Runner of this process may have left another one
        return MODELS.build({**network, 'genotype': load(name).plain(), **kwargs})


def _text(name: str) -> str:
    known = names()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
        hint = f'did you mean {near[0]!r}?' if near else f'known: {", ".join(known)}'
        raise ValueError(f'the zoo has no {name!r}: {hint}')
    return (resources.files(__name__) / f'{name}.json').read_text(encoding='utf-8')
