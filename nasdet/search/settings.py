"""What a search config may hold, ``search=dict(...)`` above all, checked before anything is built from it."""

from difflib import get_close_matches
from typing import Any, Iterable, Mapping

from mmengine.config import Config

from nasdet.errors import SearchError

# name: (type, in words)
ENTRIES: dict[str, tuple[Any, str]] = dict(
    space=(Mapping, 'a dict with a type'),
    searcher=(Mapping, 'a dict with a type'),
    estimator=(Mapping, 'a dict with a type'),
    trainer=(Mapping, 'a dict with a type'),
    control=(Mapping, 'a dict with an estimator, and a searcher where it is not random'),
    engine=(Mapping, 'a dict with a type'),
    costs=((list, tuple), 'a list of dicts with a type each'),
    objective=((str, Mapping), "a metric's name, or a dict of names with 'max' or 'min'"),
    budget=(Mapping, 'a dict with trials'),
    data=(Mapping, 'a dict with a type'),
    seed=(int, 'a whole number'),
    window=(int, 'a whole number'),
    order=(str, "'trial' or 'arrival'"),
    reuse=(bool, 'True or False'),
    durable=(bool, 'True or False'),
    shared_dir=(str, 'a folder'))
REQUIRED = ('space', 'searcher', 'estimator', 'budget')
REQUIRED_OF_A_TRAINER = ('space', 'trainer')
SAMPLING_ONLY = ('searcher', 'estimator', 'budget', 'window', 'order', 'reuse')     # what a trainer has no use for
BUDGET = ('trials',)
CONTROL = ('estimator', 'searcher', 'single')
ORDERS = ('trial', 'arrival')


def check_settings(cfg: Config) -> None:
    """Refuse a config without a search, or whose search has a wrong entry, or that would have its trainings compiled.

    Args:
        cfg: A search config, prepared or not.

    Raises:
        SearchError: Names the entry.
    """
    search = cfg.get('search')
    if not isinstance(search, Mapping):
        raise SearchError(f'{cfg.filename or "the config"} has no search=dict(...): see configs/ for examples')
    trains = 'trainer' in search
    strange = [name for name in (SAMPLING_ONLY if trains else ('control',)) if name in search]
    if strange:
        raise SearchError(f'the config\'s search has {strange[0]!r} '
                          + ("beside a trainer, which searches by itself: leave one of them out" if trains else
                             "but no trainer: the control of a searcher is made from its own settings"))
    missing = [name for name in (REQUIRED_OF_A_TRAINER if trains else REQUIRED) if name not in search]
    if missing:
        raise SearchError(f'the config\'s search has no {missing[0]!r}: give it {ENTRIES[missing[0]][1]}')
    _check_known(search, ENTRIES, 'the config\'s search')
    for name, value in search.items():
        kind, words = ENTRIES[name]
        if not isinstance(value, kind):
            raise SearchError(f'search.{name} is {words}, not {value!r}')
    _check_known(search.get('budget', {}), BUDGET, 'search.budget')
    _check_known(search.get('control', {}), CONTROL, 'search.control')
    if 'estimator' not in search.get('control', {'estimator': None}):
        raise SearchError(f'search.control is {ENTRIES["control"][1]}')
    _check_numbers(search)
    if cfg.get('compile'):
        raise SearchError(f'the config has compile={cfg.compile!r}, and the trainings of a search are never compiled: '
                          f'each is of another network, which takes minutes to compile. Leave it out here, and give '
                          f'it to the final training: nasdet train CONFIG --cfg-options compile=True')


def _check_known(entries: Mapping, known: Iterable[str], where: str) -> None:
    for name in entries:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise SearchError(f'{where} has the unknown entry {name!r}: '
                              + (f'did you mean {near[0]!r}?' if near else f'known: {", ".join(known)}'))


def _check_numbers(search: Mapping) -> None:
    trials = search.get('budget', {}).get('trials')
    if 'trainer' not in search and (not isinstance(trials, int) or trials < 1):
        raise SearchError(f'search.budget.trials is the number of evaluations, at least 1, not {trials!r}')
    if search.get('order', ORDERS[0]) not in ORDERS:
        raise SearchError(f'search.order is {ENTRIES["order"][1]}, not {search["order"]!r}')
    for name, least in dict(seed=0, window=1).items():
        if search.get(name, least) < least:
            raise SearchError(f'search.{name} is at least {least}, not {search[name]}')
