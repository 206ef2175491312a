import pytest

from nasdet.training.schedule import scale_schedule

ONE_X = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
         dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1)]


def test_equal_epochs_keep_their_places():
    warmup, steps = scale_schedule(ONE_X, 12, 12, 1000)
    assert warmup['end'] == 500
    assert steps['milestones'] == [8000, 11000] and steps['end'] == 12000 and steps['by_epoch'] is False


def test_fewer_epochs_scale_milestones_and_clip_the_warmup():
    warmup, steps = scale_schedule(ONE_X, 12, 1, 120)
    assert warmup['end'] == 12
    assert steps['milestones'] == [80, 110] and steps['end'] == 120 and steps['gamma'] == 0.1
    assert ONE_X[1]['milestones'] == [8, 11]


def test_cosine_half_way():
    cosine = dict(type='CosineAnnealingLR', T_max=150, begin=150, end=300, by_epoch=True, convert_to_iter_based=True)
    assert scale_schedule(cosine, 300, 3, 10) == [
        dict(type='CosineAnnealingLR', T_max=15, begin=15, end=30, by_epoch=False)]


@pytest.mark.parametrize('epochs, begin, end', [(10, 100, 1000), (5, 50, 500)])
def test_a_schedule_counted_in_iterations_is_scaled_and_its_warmup_stays(epochs, begin, end):
    warmup = dict(type='LinearLR', start_factor=0.1, begin=0, end=20, by_epoch=False)
    cosine = dict(type='CosineAnnealingLR', T_max=900, begin=100, end=1000, by_epoch=False)
    decay = dict(type='LinearLR', start_factor=1.0, end_factor=0.0, begin=0, end=1000, by_epoch=False)
    assert scale_schedule([warmup, cosine, decay], 10, epochs, 100) == [
        warmup, dict(cosine, T_max=end - begin, begin=begin, end=end), dict(decay, end=end)]


def test_a_warmup_of_no_iterations_is_left_out():
    assert [item['type'] for item in scale_schedule(ONE_X, 12, 1, 4)] == ['MultiStepLR']


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(ValueError, match="'OneCycleLR' cannot be scaled"):
        scale_schedule(dict(type='OneCycleLR', eta_max=0.1), 12, 6, 10)


def test_restarts_keep_their_places_and_the_last_ends_with_the_training():
    restarts = dict(type='CosineRestartLR', periods=[10, 20, 40, 80], restart_weights=[1, 1, 1, 1], eta_min=0.1,
                    by_epoch=True, convert_to_iter_based=True)
    assert scale_schedule(restarts, 150, 150, 7)[0]['periods'] == [70, 140, 280, 560]
    shorter = scale_schedule(restarts, 150, 6, 5)[0]
    assert shorter['periods'] == [2, 4, 8, 16] and shorter['by_epoch'] is False
    assert sum(scale_schedule(restarts, 150, 1, 4)[0]['periods']) == 4


@pytest.mark.parametrize('epochs', [10, 40])
def test_an_exponential_decay_falls_as_far_in_as_large_a_part_of_the_training(epochs):
    schedule = dict(type='ExponentialLR', gamma=0.9, begin=2, end=16, by_epoch=True)
    scaled, = scale_schedule(schedule, 20, epochs, 30)
    assert (scaled['begin'], scaled['end']) == (2 * 30 * epochs / 20, 16 * 30 * epochs / 20)
    assert scaled['gamma'] ** (scaled['end'] - scaled['begin']) == pytest.approx(0.9 ** 14)
