"""A genotype, with weights, as a plain config and checkpoint; stock MMDetection trains and tests a detector's."""

import os
import shutil
from contextlib import closing
from pathlib import Path
from typing import Callable, Optional, Sequence

from mmengine.config import Config, ConfigDict

from nasdet import datasets
from nasdet.bundle import MODULE, types, write_bundle
from nasdet.errors import SearchError
from nasdet.files import write_whole
from nasdet.genotype import Genotype
from nasdet.history import STEP, History, Trial
from nasdet.history.existing import ExistingSearch
from nasdet.history.record import read_record
from nasdet.history.workdir import WorkDir

GENOTYPE = 'genotype.json'
# What an export holds; Python leaves the last one beside a module that it has imported.
WRITTEN = {GENOTYPE, 'config.py', 'weights.pth', f'{MODULE}.py', '__pycache__'}
MODELS, DATASETS = 'nasdet.models', 'nasdet.datasets'


def export(config: Config, space, genotype: Genotype, out: Path,
           weights: Optional[Callable[[Path], bool]] = None, standalone: bool = False) -> Path:
    """Write ``genotype.json`` and, where there is a network, ``config.py`` and ``weights.pth`` to a folder.

    Args:
        config: A prepared search config.
        space: Applies the genotype.
        genotype: What to export.
        out: The folder: new, empty or an earlier export. An earlier export is replaced as a whole, never mixed with
            the new one; a kill at the moment of the exchange can leave neither, and the next export makes it.
        weights: Called with the path for the checkpoint; returns whether it wrote one.
        standalone: Also put the network's classes there in one Python file, so that the folder needs mmdet only.

    Returns:
        The folder.

    Raises:
        SearchError: There is something else in the folder, or the config needs what a standalone folder cannot hold.
    """
    out = Path(out).resolve()
    _check_replaceable(out)
    plain = plain_config(config, space, genotype) if 'model' in config else None
    if plain is not None and standalone:
        plain.custom_imports.imports = _standalone_imports(plain.custom_imports.imports)
    fresh = out.with_name(f'.{out.name}.new')
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    (fresh / GENOTYPE).write_text(genotype.to_json() + '\n')
    if plain is not None:
        if standalone:
            write_bundle(plain.model, fresh / f'{MODULE}.py')
        (fresh / 'config.py').write_text(plain.pretty_text)
        if weights is not None:
            weights(fresh / 'weights.pth')
    _exchange(fresh, out)
    return out


def _exchange(fresh: Path, out: Path) -> None:
    """Put a finished folder in the place of an earlier one."""
    old = out.with_name(f'.{out.name}.old')
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(out: Path) -> None:
    """Refuse to replace what no export has written."""
    if out.exists() and not out.is_dir():
        raise SearchError(f'cannot export to {out}: it is a file; name a folder')
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    strange = sorted(names - WRITTEN) or sorted(names if GENOTYPE not in names else ())
    if strange:
        raise SearchError(f'cannot export to {out}: it holds {strange[0]}, which no export has written; name another '
                          f'folder, or move that away')


def _standalone_imports(imports: list[str]) -> list[str]:
    """Return the imports with the file of the network in the place of ``nasdet.models``."""
    others = [name for name in imports if name != MODELS]
    needed = [name for name in others if name.partition('.')[0] == 'nasdet']
    if needed:
        raise SearchError(f'cannot export --standalone: the config needs {needed[0]} too, for data, hooks or '
                          f'optimizers of nasdet (as every classifier does, whose images and accuracy are its); export '
                          f'without --standalone')
    return [*others, MODULE]


def plain_config(config: Config, space, genotype: Genotype) -> Config:
    """Return the network's config with the genotype applied, and with nothing in it that only a search needs.

    Args:
        config: A prepared search config.
        space: Applies the genotype.
        genotype: Of this space.
    """
    return detector_config(config, space.apply(genotype, config.model))


def detector_config(config: Config, model: ConfigDict) -> Config:
    """Return a plain config of a model on the data of a search: MMDetection's of a detector, nasdet's of a classifier.

    Args:
        config: A prepared search config.
        model: The model config to put into it.

    Returns:
        A config in which ``custom_imports`` names ``nasdet.models`` and otherwise what the user's own config named;
        of ``nasdet.datasets``, which every search imports, only a config with such data keeps the name.
    """
    plain = Config(config.to_dict())
    plain.pop('search')
    plain.model = model
    for name in ('val_evaluator', 'test_evaluator'):
        for evaluator in _evaluators(plain.get(name)):
            if evaluator.type == 'RawCocoMetric':
                evaluator.type = 'CocoMetric'
    dropped = {MODELS} if set(types(plain.to_dict())) & set(datasets.__all__) else {MODELS, DATASETS}
    kept = [name for name in plain.get('custom_imports', {}).get('imports', []) if name not in dropped]
    plain.custom_imports = dict(imports=[*kept, MODELS], allow_failed_imports=False)
    return plain


def _evaluators(evaluator) -> list:
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]


def main(args) -> int:
    """Run ``nasdet export WORK_DIR [--trial N | --genotype FILE | --top-k K | --front] [--out DIR] [--standalone]``."""
    search = ExistingSearch(args.work_dir)
    if args.top_k is not None:
        return _list_best(search.folder, args.top_k, args.out)
    if args.front:
        return _list_front(search, args.out)
    folder, space, weights = search.folder, search.space, search.weights()
    with closing(History(folder.history, read_only=True)) as history:
        trial, genotype = _chosen(args, history)
        attempts = history.attempts(trial) if trial is not None else []
    try:
        space.check(genotype, search.config.get('model'))
    except ValueError as error:
        raise SearchError(str(error)) from error
    source = folder.trial(trial, attempts[-1][0] if attempts else 1) if trial is not None else None
    name = f'trial-{trial:06d}' if trial is not None else space.key(genotype)
    out = export(search.config, space, genotype, Path(args.out or folder.path / 'export' / name),
                 lambda path: weights(genotype, source, path), args.standalone)
    left = sorted(path.name for path in out.iterdir())
    print(f'{out}: {", ".join(left)}{"" if "weights.pth" in left else "; no weights (train it first)"}')
    return 0


def _list_best(folder: WorkDir, number: int, out: Optional[str]) -> int:
    """Write the genotypes of a search's best distinct architectures to a file, best first."""
    ranking = read_record(folder.history).ranking[:max(number, 0)]
    if not ranking:
        raise SearchError(f'nothing to list: --top-k is {number}, and {folder.path} must hold a trial that succeeded')
    _write_list(ranking, Path(out or folder.path / 'export' / f'best-{number}.jsonl'))
    return 0


def _list_front(search: ExistingSearch, out: Optional[str]) -> int:
    """Write the genotypes of the Pareto front of reward and costs to a file, and say what each is."""
    costs = search.costs()
    front = read_record(search.folder.history).front([cost.name for cost in costs])
    if not costs or not front:
        raise SearchError(f'no front to list: {search.folder.path} must hold a trial that succeeded, and the search '
                          f'costs beside its reward')
    for trial in front:
        dear = ', '.join(f'{cost.name} {trial.result.costs[cost.name]:,.15g} {cost.unit}' for cost in costs)
        print(f'trial {trial.trial}: reward {trial.result.reward}, {dear}')
    _write_list(front, Path(out or search.folder.path / 'export' / 'front.jsonl'))
    return 0


def _write_list(trials: Sequence[Trial], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, ''.join(f'{trial.proposal.genotype.to_json()}\n' for trial in trials).encode())
    print(f'{path}: {len(trials)} genotypes, rewards {trials[0].result.reward} to {trials[-1].result.reward}')


def _chosen(args, history) -> tuple[Optional[int], Genotype]:
    """Return (trial number or None, genotype): of a file, of a trial, or of the best trial."""
    if args.genotype:
        path = Path(args.genotype)
        if not path.exists():
            raise SearchError(f'{path} does not exist')
        try:
            return None, Genotype.from_json(path.read_text())
        except ValueError as error:
            raise SearchError(f'{path}: {error}') from error
    done = [trial for trial in history.trials() if trial.status == 'ok']
    done = [trial for trial in done if (trial.source != STEP if args.trial is None else trial.trial == args.trial)]
    if not done:
        raise SearchError('there is no finished trial' if args.trial is None else f'trial {args.trial} did not succeed')
    best = max(done, key=lambda trial: (trial.result.reward, -trial.trial))
    number = best.trial if best.reused_from is None else best.reused_from
    return number, best.proposal.genotype
