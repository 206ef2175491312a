"""What the sections of a report are made of: quantities in words, and pictures."""

import base64

ONE_SEED = 'One run with one seed each is no evidence by itself that either way of searching is better.'


def quantity(value: float, unit: str) -> str:
    """Return a value with an SI prefix and its unit: 12300000000, 'MACs' -> '12.3 G MACs'; seconds as a duration."""
    if unit == 's':
        return duration(value)
    for size, prefix in ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
        if abs(value) >= size:
            return f'{value / size:.4g} {prefix} {unit}'.strip()
    return f'{value:.4g} {unit}'.strip()


def duration(seconds: float) -> str:
    """Return seconds in the unit in which a person would say them: '38.3 µs', '12 s', '3.5 min', '2.1 h'."""
    for size, unit in ((3600, 'h'), (60, 'min')):
        if seconds >= size:
            return f'{seconds / size:.1f} {unit}'
    for size, unit in ((1, 's'), (1e-3, 'ms'), (1e-6, 'µs')):
        if seconds >= size:
            return f'{seconds / size:.3g} {unit}'
    return f'{seconds:.3g} s'


def image(svg: bytes, description: str) -> str:
    """Return an SVG picture as an element of HTML that needs no other file."""
    data = base64.b64encode(svg).decode()
    return f'<img alt="{description}" src="data:image/svg+xml;base64,{data}">\n'
