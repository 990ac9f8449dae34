import math

import pytest

from cnn.schedules import SCHEDULES, Constant, Cosine, InverseRoot, Moment, OneCycle, Span, StepDecay, get_schedule


def factors(schedule, steps, of_epoch=10, span=None):
    return [schedule.factor(Moment(i, i // of_epoch, span)) for i in range(steps)]


def test_a_constant_stays():
    assert factors(Constant(), 3) == [1, 1, 1]
    assert factors(Constant(0.5), 3) == [0.5, 0.5, 0.5]


def test_a_step_decay_goes_by_epochs_unless_told_otherwise():
    assert factors(StepDecay(), 30, of_epoch=10)[::10] == pytest.approx([1, 0.1, 0.01])
    assert factors(StepDecay(every=2, gamma=0.5, by="step"), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_rate_that_grows_beyond_all_numbers_is_infinite():
    assert factors(StepDecay(gamma=10, by="step"), 400)[-1] == math.inf


def test_a_cosine_goes_down_along_half_a_wave_and_stays_there():
    found = factors(Cosine(total=4, least=0.2), 7)
    assert found == pytest.approx(
        [1, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2, 0.6, 0.2 + 0.8 * (1 - math.sqrt(0.5)) / 2, *[0.2] * 3]
    )


def test_a_cosine_by_epochs_is_the_same_within_one():
    assert factors(Cosine(total=2, by="epoch"), 6, of_epoch=2) == pytest.approx([1, 1, 0.5, 0.5, 0, 0])


def test_one_cycle_rises_to_the_whole_rate_and_falls_to_almost_nothing():
    found = factors(OneCycle(total=100), 100)
    assert found[0] == pytest.approx(1 / 25)
    assert found[29] == pytest.approx(1)
    assert found[99] == pytest.approx(1 / 25e4)
    assert found.index(max(found)) == 29


def test_one_cycle_in_straight_lines():
    found = factors(OneCycle(total=11, rise=3 / 11, first=0.5, last=0, shape="linear"), 13)
    assert found == pytest.approx([0.5, 0.75, 1, *[1 - i / 8 for i in range(1, 9)], 0, 0])


@pytest.mark.parametrize(("total", "rise"), [(1, 0.3), (2, 0.3), (3, 0.3), (5, 0), (2, 0.9)])
def test_one_cycle_of_a_few_steps_is_no_accident(total, rise):
    assert all(0 < factor <= 1 for factor in factors(OneCycle(total=total, rise=rise), total + 2))


def test_the_inverse_root_is_one_over_the_root_of_the_step():
    assert factors(InverseRoot(), 3) == pytest.approx([1, 1 / math.sqrt(2), 1 / math.sqrt(3)])


def test_without_a_total_it_lasts_as_long_as_the_training_from_where_that_began():
    span = Span(first_step=20, steps=10, first_epoch=2, epochs=5)
    assert Cosine().factor(Moment(25, 3, span)) == pytest.approx(0.5)
    assert Cosine(by="epoch").factor(Moment(25, 3, span)) == pytest.approx((1 + math.cos(math.pi / 5)) / 2)


def test_a_total_counts_from_the_model_s_first_step_or_from_start():
    assert Cosine(total=10).factor(Moment(5)) == pytest.approx(0.5)
    assert Cosine(total=10, start=20).factor(Moment(25)) == pytest.approx(0.5)
    assert Cosine(total=10, start=20).factor(Moment(3)) == 1
    assert StepDecay(by="step", start=2).factor(Moment(2)) == 1


def test_without_a_total_and_without_a_training_it_says_what_is_missing():
    with pytest.raises(
        ValueError, match=r"Cosine does not know how long it lasts: give it total=, the number of steps"
    ):
        Cosine().factor(Moment(3, 0))


def test_by_epochs_where_nobody_counts_them_it_says_so():
    with pytest.raises(ValueError, match=r"StepDecay by epochs: .* updated alone knows no epochs; use lm\.update\(\)"):
        StepDecay().factor(Moment(3))


@pytest.mark.parametrize(("keywords", "text"), [({"by": "week"}, "by is 'week'"), ({"start": -1}, "start is -1")])
@pytest.mark.parametrize("name", SCHEDULES)
def test_each_says_what_it_cannot_count(name, keywords, text):
    with pytest.raises(ValueError, match=f"{SCHEDULES[name].__name__}: {text}; expected "):
        get_schedule({"name": name, **keywords})


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_is_found_by_its_name_in_any_spelling(name):
    assert type(get_schedule(name.upper().replace("-", "_"))) is SCHEDULES[name]


def test_a_name_can_bring_keywords_and_an_object_is_itself():
    assert get_schedule({"name": "step", "every": 3}) == StepDecay(every=3)
    assert get_schedule(one := OneCycle()) is one
    assert get_schedule(None) is None


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: get_schedule("cosinus"),
            ValueError,
            r"unknown schedule 'cosinus'; did you mean 'cosine'\? known: const",
        ),
        (lambda: get_schedule(0.1), TypeError, r"schedule is 0\.1; expected a name out of constant, step"),
        (lambda: get_schedule({"every": 3}), TypeError, r"schedule is \{'every': 3\}; expected a name"),
        (
            lambda: get_schedule({"name": "step", "ever": 3}),
            TypeError,
            "StepDecay has no keyword 'ever'; did you mean 'every'",
        ),
        (lambda: StepDecay(every=0), ValueError, "StepDecay: every is 0; expected 1 or more"),
        (lambda: StepDecay(gamma=-1), ValueError, "StepDecay: gamma is -1; expected a finite number, 0 or more"),
        (lambda: Cosine(total=0), ValueError, "Cosine: total is 0; expected 1 or more"),
        (lambda: Cosine(by="image"), ValueError, "Cosine: by is 'image'; expected 'step' or 'epoch'"),
        (lambda: Cosine(start=-1), ValueError, "Cosine: start is -1; expected 0 or more"),
        (lambda: OneCycle(rise=1), ValueError, "OneCycle: rise is 1; expected 0 <= value < 1"),
        (lambda: OneCycle(shape="sine"), ValueError, "OneCycle: shape is 'sine'; expected 'cosine' or 'linear'"),
        (lambda: Constant(rate="x"), TypeError, "Constant: rate is 'x'; expected a finite number, 0 or more"),
    ],
)
def test_what_makes_no_sense_is_answered(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("ours", "theirs", "keywords"),
    [
        (Cosine(total=30, least=0.1), "CosineAnnealingLR", {"T_max": 30, "eta_min": 0.05}),
        (StepDecay(every=7, gamma=0.3, by="step"), "StepLR", {"step_size": 7, "gamma": 0.3}),
        (OneCycle(total=30), "OneCycleLR", {"max_lr": 0.5, "total_steps": 30, "cycle_momentum": False}),
        (
            OneCycle(total=30, rise=0.5, first=0.1, last=1e-3, shape="linear"),
            "OneCycleLR",
            {
                "max_lr": 0.5,
                "total_steps": 30,
                "pct_start": 0.5,
                "div_factor": 10,
                "final_div_factor": 100,
                "anneal_strategy": "linear",
                "cycle_momentum": False,
            },
        ),
    ],
)
def test_30_steps_are_those_of_pytorch(ours, theirs, keywords):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **keywords)
    rates = []
    for _ in range(30):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < 30:
            scheduler.step()
    assert [0.5 * factor for factor in factors(ours, 30)] == pytest.approx(rates, rel=1e-12)
