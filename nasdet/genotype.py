"""The genotype: an architecture as a small, immutable value."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Genotype:
    """An architecture, readable by a person and by the space that it names.

    Args:
        space: Registered name of the space that reads ``value``.
        value: JSON data: operation names, levels, widths. Never operation ids.

    Raises:
        TypeError: ``value`` holds something that JSON does not know.
    """

    space: str
    value: Mapping[str, Any]

    def __post_init__(self):
        object.__setattr__(self, 'value', _freeze(self.value))

    def plain(self) -> dict:
        """Return ``value`` as fresh dicts and lists, for a config or for JSON."""
        return _thaw(self.value)

    def to_json(self) -> str:
        """Return the canonical JSON text: sorted keys, no spaces, with the schema version."""
        data = dict(schema=SCHEMA, space=self.space, value=self.plain())
        return json.dumps(data, sort_keys=True, separators=(',', ':'), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> 'Genotype':
        """Read what :meth:`to_json` wrote.

        Args:
            text: JSON with ``space``, ``value`` and ``schema``; other keys are ignored.

        Raises:
            ValueError: Not such JSON, or written by a newer nasdet.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f'not a genotype: not JSON ({error})') from error
        if not isinstance(data, dict) or not {'schema', 'space', 'value'} <= data.keys():
            raise ValueError('not a genotype: expected the keys schema, space and value')
        if not isinstance(data['schema'], int) or not isinstance(data['value'], dict):
            raise ValueError('not a genotype: schema is a whole number, value an object')
        if data['schema'] > SCHEMA:
            raise ValueError(f'this genotype has schema {data["schema"]}, this nasdet reads up to {SCHEMA}: '
                             f'update nasdet')
        return cls(data['space'], data['value'])

    def digest(self) -> str:
        """Return a short hash of the canonical JSON text (16 hexadecimal digits)."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def __eq__(self, other) -> bool:
        return isinstance(other, Genotype) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self):
        return Genotype, (self.space, self.plain())


def _freeze(data: Any) -> Any:
    if isinstance(data, Mapping):
        return MappingProxyType({str(key): _freeze(item) for key, item in data.items()})
    if isinstance(data, (list, tuple)):
        return tuple(_freeze(item) for item in data)
    if data is None or isinstance(data, (str, bool, int, float)):
        return data
    raise TypeError(f'a genotype holds JSON data only, not {type(data).__name__}: {data!r}')


def _thaw(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _thaw(item) for key, item in data.items()}
    if isinstance(data, tuple):
        return [_thaw(item) for item in data]
    return data
