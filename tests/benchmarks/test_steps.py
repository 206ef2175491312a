"""Two steps, timed in turns."""

import numpy as np

from benchmarks.steps import UNCOUNTED, in_turns, report


def test_each_is_first_in_every_second_turn_and_the_first_turns_do_not_count():
    made, now = [], [0.0]

    def step(name, takes):
        def call():
            made.append(name)
            now[0] += takes
        return call

    times = list(in_turns(step('one', 3.0), step('other', 2.0), 4, clock=lambda: now[0]))
    assert times == [(3.0, 2.0)] * 4
    assert made == ['other', 'one', 'one', 'other'] * ((UNCOUNTED + 4) // 2)


def test_report_tells_the_median_of_the_ratios(capsys):
    times = np.array([[2.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
    assert report(times, ('ours', 'theirs'), 1.05) == 2
    assert capsys.readouterr().out == ('ours 2.0000 s, theirs 1.0000 s (medians of 3); ratio 2.000, quartiles 1.500 to '
                                       '2.500 (wanted: at most 1.05)\n')
    report(times, ('ours', 'theirs'), 1.05, 'processor time')
    assert '(medians of 3, processor time)' in capsys.readouterr().out
