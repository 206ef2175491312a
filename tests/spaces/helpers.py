"""Genotypes of the NAS-FPN space, written briefly or all of them."""

from nasdet.genotype import Genotype


def spec(space, cells):
    """A genotype from (level, op, input, input) of each cell."""
    intermediate = len(cells) - len(space.levels)
    cells = [dict(level=level, op=op, inputs=[a, b], output=index >= intermediate)
             for index, (level, op, a, b) in enumerate(cells)]
    value = dict(levels=list(space.levels), gp_mode=space.gp_mode, top=space.top, conv_bias=space.conv_bias,
                 cells=cells)
    return Genotype(space.name, {**value, 'extra_projection': True} if space.extra_projection else value)


def every_genotype(space):
    """All genotypes of a small space."""
    pending = [()]
    while pending:
        prefix = pending.pop()
        choice = space.choices(prefix)
        if choice is None:
            yield space.decode(prefix)
        else:
            pending.extend(prefix + (token,) for token in choice.legal)
