from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings

from cnn.clipping import power_sum
from cnn.optimizers import OPTIMIZERS, Told, get_optimizer
from cnn.xp import to_cpu
from tests.cnn import optimizer_boxes as boxes
from tests.cnn.strategies import REPEATABLE, st

BOXES = {
    "SGD": boxes.sgd,
    "Momentum": boxes.momentum,
    "NAG": boxes.nag,
    "AdaGrad": boxes.adagrad,
    "RMSprop": boxes.rmsprop,
    "AdaDelta": boxes.adadelta,
    "Adam": boxes.adam,
    "AdaMax": boxes.adamax,
    "Nadam": boxes.nadam,
    "RMSpropGraves": boxes.rmsprop_graves,
    "SMORMS3": boxes.smorms3,
    "Eve": boxes.eve,
    "SantaE": boxes.santa_e,
    "SantaSSS": boxes.santa_sss,
    "AMSGrad": boxes.amsgrad,
    "AdaBound": boxes.adabound,
    "AMSBound": boxes.amsbound,
    "AdaBelief": boxes.adabelief,
    "SAM": boxes.adam,  # whose base is Adam: the climb is the model's
}
# The article's, and where it says nothing the papers'.
DEFAULTS = {
    "SGD": {"eta": 0.01},
    "Momentum": {"eta": 0.01, "mu": 0.9},
    "NAG": {"eta": 0.01, "mu": 0.9},
    "AdaGrad": {"eta": 0.001, "eps": 1e-8},
    "RMSprop": {"eta": 0.01, "rho": 0.99, "eps": 1e-8},
    "AdaDelta": {"rho": 0.95, "eps": 1e-6},
    "Adam": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "AdaMax": {"alpha": 0.002, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "Nadam": {"alpha": 0.002, "mu": 0.975, "nu": 0.999, "eps": 1e-8, "psi": 0.004},
    "RMSpropGraves": {"eta": 1e-4, "rho": 0.95, "mu": 0.9, "eps": 1e-4},
    "SMORMS3": {"eta": 0.001, "eps": 1e-8},
    "Eve": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "beta3": 0.999, "c": 10.0, "f_star": 0.0},
    "SantaE": {"eta": 0.01, "sigma": 0.95, "anne_rate": 0.5, "burnin": 100, "C": 5.0, "N": 16.0, "lam": 1e-8},
    "SantaSSS": {"eta": 0.01, "sigma": 0.95, "anne_rate": 0.5, "burnin": 100, "C": 5.0, "N": 16.0, "lam": 1e-8},
    "AMSGrad": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "AdaBound": {"alpha": 0.001, "eta": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "AMSBound": {"alpha": 0.001, "eta": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "AdaBelief": {"alpha": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "SAM": {"rho": 0.05, "q": 2.0},
}
CALM = {"SantaE": {"eta": 1e-4, "seed": 5}, "SantaSSS": {"eta": 1e-4, "seed": 5}}  # at .01 they jump far
STEPS, SHAPE = 50, (3, 4)


def alone(optimizer, params, grads, loss=1.0):
    """A step, with what a model would have told."""
    optimizer.told = Told(loss=loss, climbed=True)
    optimizer.update(params, grads)


def made(name, **keywords):
    return get_optimizer(name, CALM.get(name, {}) | keywords)


def run(xp, optimizer, start, grads, losses, dtype="float64"):
    p = xp.array(start, dtype=dtype)
    for g, loss in zip(grads, losses, strict=True):
        alone(optimizer, [p], [xp.asarray(g, dtype=dtype)], loss)
    return to_cpu(p)


def problem(seed=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(SHAPE), rng.standard_normal((STEPS, *SHAPE)), 0.5 + rng.random(STEPS)


def box_answer(name, optimizer, start, grads, losses):
    keywords = {
        key: getattr(getattr(optimizer, "inner", optimizer), key) for key in DEFAULTS[name if name != "SAM" else "Adam"]
    }
    answer = np.empty(SHAPE)
    noise = [
        np.random.default_rng((getattr(optimizer, "drawn", 0), t)).standard_normal(SHAPE) for t in range(STEPS + 1)
    ]
    for place in np.ndindex(SHAPE):
        beside = {}
        if name == "Eve":
            beside = {"losses": losses.tolist()}
        elif name.startswith("Santa"):
            beside = {"noise": [float(z[place]) for z in noise], "derivative": optimizer.derivative}
        answer[place] = BOXES[name](float(start[place]), [float(g[place]) for g in grads], **beside, **keywords)
    return answer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_50_steps_are_those_of_the_paper_s_algorithm(xp, name):
    start, grads, losses = problem()
    optimizer = made(name)
    expected = box_answer(name, optimizer, start, grads, losses)
    np.testing.assert_allclose(run(xp, optimizer, start, grads, losses), expected, rtol=1e-12, atol=1e-14)


VARIANTS = [
    ("Nadam", {"psi": 1e9}),
    ("Eve", {"c": 1.5, "f_star": 0.4, "beta3": 0.5}),
    ("SantaE", {"burnin": 10}),
    ("SantaE", {"burnin": 30, "derivative": True}),
    ("SantaSSS", {"burnin": 10}),
    ("SantaSSS", {"burnin": 30, "derivative": True}),
    ("AdaBound", {"alpha": 1.0, "eta": 0.01}),
    ("AMSBound", {"alpha": 1e-4, "eta": 10.0, "beta2": 0.5}),
    ("RMSpropGraves", {"mu": 0.0, "eta": 0.1}),
    ("SMORMS3", {"eta": 0.5}),
    ("AdaBelief", {"eps": 1e-16}),
]


@pytest.mark.parametrize(("name", "keywords"), VARIANTS)
def test_other_hyper_parameters_go_the_paper_s_way_too(xp, name, keywords):
    start, grads, losses = problem(7)
    optimizer = made(name, **keywords)
    expected = box_answer(name, optimizer, start, grads, losses)
    # 1 / u makes the last bits of a gradient 10⁴ times as large within 30 steps
    rtol = 1e-8 if "derivative" in keywords else 1e-11
    np.testing.assert_allclose(run(xp, optimizer, start, grads, losses), expected, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_goes_the_same_way_in_place(xp, name):
    start, grads, losses = problem()
    exact = run(xp, made(name), start, grads, losses)
    optimizer, p = made(name), xp.array(start, dtype="float32")
    kept = p
    if name.startswith("Santa"):  # in float32 other noise is drawn: without any
        optimizer, other = (made(name, burnin=0) for _ in range(2))
        optimizer.first = other.first = lambda slot, p, g: xp.zeros_like(p)
        exact = run(xp, other, start, grads, losses)
    for g, loss in zip(grads, losses, strict=True):
        alone(optimizer, [p], [xp.asarray(g, dtype="float32")], loss)
    assert p is kept
    assert {p.dtype, *(x.dtype for states in optimizer.state.values() for x in states)} == {np.dtype("float32")}
    np.testing.assert_allclose(to_cpu(p), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_defaults_are_the_article_s(name):
    optimizer = get_optimizer(name)
    assert {key: getattr(optimizer, key) for key in DEFAULTS[name]} == DEFAULTS[name]
    others = {each.name for each in fields(optimizer)} - set(DEFAULTS[name])
    assert others <= {"weight_decay", "decoupled", "schedule", "derivative", "seed", "base", "base_dic"}


FAST = {  # a learning rate, and whatever else, at which 1500 steps get there
    "AdaGrad": {"eta": 0.5},
    "AdaDelta": {"eps": 1e-3},
    "Adam": {"alpha": 0.05},
    "AdaMax": {"alpha": 0.05},
    "Nadam": {"alpha": 0.05},
    "RMSprop": {"eta": 3e-3},
    "RMSpropGraves": {"eta": 1e-3},
    "SMORMS3": {"eta": 0.05},
    "Eve": {"alpha": 0.02},
    "SantaE": {"eta": 1e-3},
    "SantaSSS": {"eta": 1e-3},
    "AMSGrad": {"alpha": 0.05},
    "AdaBound": {"alpha": 1.0, "eta": 1.0},
    "AMSBound": {"alpha": 1.0, "eta": 1.0},
    "AdaBelief": {"alpha": 0.05},
    "SAM": {"base_dic": {"alpha": 0.05}},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_finds_the_bottom_of_a_bowl(xp, name):
    p, steep = xp.asarray([3.0, -2.0]), xp.asarray([1.0, 0.2])
    optimizer = made(name, **FAST.get(name, {}))
    for _ in range(1500):
        alone(optimizer, [p], [steep * p], float((steep * p * p).sum()) / 2)
    assert float((steep * p * p).sum()) < 1e-2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_large_arrays_are_worked_through_in_pieces_with_the_same_result(xp, name):
    rng = np.random.default_rng(2)
    start, grads = rng.standard_normal((500, 200)), rng.standard_normal((3, 500, 200))
    results = []
    for layout in "CF":  # what is not in one stretch is worked through as a whole
        p, optimizer = xp.array(start, order=layout), made(name)
        for g in grads:
            alone(optimizer, [p], [xp.asarray(g, order=layout)])
        results.append(to_cpu(p))
    np.testing.assert_allclose(*results, rtol=1e-14)


def test_a_gradient_in_another_layout_is_fine(xp):
    p, q, g = xp.ones((500, 200)), xp.ones((500, 200)), xp.asarray(np.random.default_rng(0).random((200, 500)))
    for parameter, gradient in ((p, g.T), (q, g.T.copy())):
        get_optimizer("Adam").update([parameter], [gradient])
    assert bool((p == q).all())


@pytest.mark.parametrize(("g", "came"), [(np.ones(2), r"\(2,\)"), ([[1.0, 1.0]], "a list"), (None, "a NoneType")])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_a_gradient_of_another_shape_is_refused_before_it_is_spread_over_the_parameter(name, g, came):
    p = np.ones((3, 2))
    with pytest.raises(
        ValueError, match=rf"^{name}: a parameter is \(3, 2\), its gradient {came}; expected two arrays"
    ):
        get_optimizer(name).update([p], [g])
    assert (p == 1).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_counted(xp, name):
    p, optimizer = xp.ones(2), made(name)
    for _ in range(3):
        alone(optimizer, [p], [p])
    assert optimizer.t == 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_of_zero_do_no_harm(xp, name):
    p, optimizer = xp.ones(2, dtype="float32"), made(name)
    for _ in range(3):
        alone(optimizer, [p], [xp.zeros(2, dtype="float32")])
    assert bool(xp.isfinite(p).all())


@pytest.mark.parametrize(
    ("name", "keywords", "text"),
    [
        ("Adam", {"alpha": -1}, "Adam: alpha is -1; expected a finite number, 0 or more"),
        ("Adam", {"beta1": 1.0}, r"Adam: beta1 is 1\.0; expected 0 <= value < 1"),
        ("Nadam", {"nu": 1.5}, r"Nadam: nu is 1\.5; expected 0 <= value < 1"),
        ("Eve", {"c": 0.5}, r"Eve: c is 0\.5; expected a finite number, 1 or more"),
        ("SantaE", {"N": 0}, "SantaE: N is 0; expected a finite number, 1 or more"),
        ("SantaE", {"burnin": -1}, "SantaE: burnin is -1; expected 0 or more"),
        ("SAM", {"q": 0.9}, r"SAM: q is 0\.9; expected a finite number, 1 or more"),
        ("SAM", {"base": "Addam"}, r"unknown SAM's base 'Addam'; did you mean 'Adam'\?"),
        ("SAM", {"weight_decay": 0.1}, "SAM does not step itself: give weight_decay"),
        ("SGD", {"weight_decay": float("nan")}, "SGD: weight_decay is nan; expected a finite number, 0 or more"),
        ("SGD", {"schedule": "cosin"}, r"SGD: unknown schedule 'cosin'; did you mean 'cosine'\?"),
    ],
)
def test_a_hyper_parameter_out_of_range_is_refused(name, keywords, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        get_optimizer(name, keywords)


@pytest.mark.parametrize(
    ("name", "keywords", "text"),
    [
        ("Adam", {"alpha": True}, "Adam: alpha is True; expected a finite number, 0 or more"),
        ("SGD", {"decoupled": 1}, "SGD: decoupled is 1; expected True or False"),
        ("SantaSSS", {"burnin": 2.5}, r"SantaSSS: burnin is 2\.5; expected a whole number"),
        ("SantaE", {"derivative": None}, "SantaE: derivative is None; expected True or False"),
        ("SantaE", {"seed": "x"}, "SantaE: seed is 'x'; expected a whole number"),
        ("SGD", {"schedule": 3}, "SGD: schedule is 3; expected a name out of constant, step"),
        ("SAM", {"base": 3}, "SAM: base is 3, base_dic None; expected a name, or another optimizer"),
        ("SAM", {"base_dic": {"eta": 1}}, "SAM's base Adam has no keyword 'eta'"),
        ("AdaDelta", {"eta": 1e-2}, "optimizer AdaDelta has no keyword 'eta'"),
    ],
)
def test_a_hyper_parameter_of_the_wrong_kind_is_refused(name, keywords, text):
    with pytest.raises(TypeError, match=f"^{text}"):
        get_optimizer(name, keywords)


@pytest.mark.parametrize(
    ("given", "found"), [("rmsprop-graves", "RMSpropGraves"), ("AMS_grad", "AMSGrad"), ("Santa SSS", "SantaSSS")]
)
def test_names_are_found_in_any_case_and_punctuation(given, found):
    assert type(get_optimizer(given)).__name__ == found


def test_an_unknown_optimizer_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown optimizer 'Adamm'; did you mean 'Adam'\? known: SGD, .*, SAM"):
        get_optimizer("Adamm")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_numpy_number_gives_the_same_step_as_python_s(xp, name, kind):
    defaults = [each.name for each in fields(OPTIMIZERS[name]) if each.type == "float"]
    exact = {key: 1.5 if key in ("c", "N", "q") else 0.5 for key in defaults}
    if name == "SAM":
        del exact["weight_decay"]
    results = []
    for keywords in (exact, {key: kind(value) for key, value in exact.items()}):
        p = xp.ones(3, dtype="float32")
        optimizer = get_optimizer(name, keywords | ({"seed": 1} if name.startswith("Santa") else {}))
        for _ in range(3):
            alone(optimizer, [p], [xp.asarray([1.5, -0.3, 1e-3], dtype="float32")])
        assert all(type(getattr(optimizer, key)) is float for key in exact)
        results.append(to_cpu(p))
    np.testing.assert_array_equal(*results)


def test_the_bias_correction_advances(xp):
    p, optimizer = xp.zeros(1), get_optimizer("Adam")
    steps = []
    for _ in range(4):
        before = float(p[0])
        optimizer.update([p], [xp.ones(1)])
        steps.append(before - float(p[0]))
    np.testing.assert_allclose(steps, 0.001, rtol=1e-6)  # with t fixed at 1 they would grow


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdaDelta", "AMSBound", "Eve"])
def test_decoupled_weight_decay_shrinks_the_parameter_by_rate_times_decay_before_the_step(xp, name):
    start, grads, losses = problem()
    optimizer, plain = made(name, weight_decay=0.1, decoupled=True), made(name)
    rate = getattr(plain, plain.rate) if plain.rate else 1.0
    p, q = xp.array(start), xp.array(start)
    for g, loss in zip(grads, losses, strict=True):
        alone(optimizer, [p], [xp.asarray(g)], loss)
        q *= 1 - rate * 0.1
        alone(plain, [q], [xp.asarray(g)], loss)
    np.testing.assert_allclose(to_cpu(p), to_cpu(q), rtol=1e-14)


def test_coupled_weight_decay_is_the_penalty_s_gradient_and_leaves_the_gradient_alone(xp):
    p, g = xp.asarray([1.0, -2.0]), xp.asarray([0.5, 0.5])
    get_optimizer("SGD", {"eta": 0.1, "weight_decay": 0.2}).update([p], [g])
    np.testing.assert_allclose(to_cpu(p), [1 - 0.1 * 0.7, -2 - 0.1 * 0.1], rtol=1e-15)
    assert to_cpu(g).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("keywords", "more"), [({}, 0), ({"weight_decay": 0.1}, 2), ({"weight_decay": 0.1, "decoupled": True}, 1)]
)
def test_weight_decay_is_arithmetic_too(keywords, more):
    assert get_optimizer("Adam", keywords).flops == get_optimizer("Adam").flops + more


def test_santa_draws_other_noise_with_another_seed_and_none_after_the_search(xp):
    ends = []
    for seed in (1, 1, 2):
        p, optimizer = xp.zeros(50), get_optimizer("SantaE", {"eta": 1e-4, "seed": seed, "burnin": 5})
        for _ in range(3):
            optimizer.update([p], [xp.ones(50)])
        ends.append(to_cpu(p))
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0] != ends[2]).all()
    optimizer.t = 5
    assert optimizer.noise(p) == ()


@pytest.mark.parametrize("name", ["Eve", "SAM"])
def test_what_cannot_step_alone_says_what_is_missing_and_does_not_step(xp, name):
    p, optimizer = xp.ones(2), get_optimizer(name)
    with pytest.raises(RuntimeError, match=rf"{name} needs the .*updated alone.*lm\.update\(\), or lm\.training"):
        optimizer.update([p], [p])
    assert optimizer.t == 0
    assert to_cpu(p).tolist() == [1, 1]


def test_eve_s_loss_that_reaches_its_minimum_counts_as_near(xp):
    p, optimizer = xp.ones(1), get_optimizer("Eve", {"beta3": 0.0})
    for loss, d in ((1.0, 1.0), (0.0, 10.0), (0.0, 0.1), (2.0, 10.0)):
        alone(optimizer, [p], [p], loss)
        assert optimizer.d == pytest.approx(d)


def test_sam_may_climb_as_far_as_it_likes():
    assert get_optimizer("SAM", {"rho": 2}).rho == 2.0


def test_sam_takes_a_copy_of_a_base_that_was_made(xp):
    base = get_optimizer("SGD", {"eta": 0.5})
    one, other = (get_optimizer("SAM", {"base": base}) for _ in range(2))
    p = xp.ones(1)
    alone(one, [p], [p])
    assert (one.t, other.t, base.t) == (1, 0, 0)
    assert float(p[0]) == 0.5


def test_sam_s_base_draws_what_the_layer_s_seed_says():
    drawn = [get_optimizer("SAM", {"base": "SantaE"}, np.random.default_rng(seed)).inner.drawn for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("q", [1.5, 2.0, 4.0])
def test_sam_climbs_as_the_paper_says_over_all_parameters_and_comes_back_to_the_bit(xp, q):
    rng = np.random.default_rng(3)
    values, grads = [rng.standard_normal(n) for n in (3, 5)], [rng.standard_normal(n) for n in (3, 5)]
    optimizer = get_optimizer("SAM", {"rho": 0.3, "q": q})
    params = [xp.array(v) for v in values]
    device = [xp.asarray(g) for g in grads]
    optimizer.climb(params, device, power_sum(device, q))
    climbed = np.concatenate([to_cpu(p) for p in params]) - np.concatenate(values)
    np.testing.assert_allclose(climbed, boxes.sam_climb(np.concatenate(grads).tolist(), 0.3, q), rtol=1e-12)
    optimizer.go_back(params)
    for p, v in zip(params, values, strict=True):
        np.testing.assert_array_equal(to_cpu(p), v)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**3),
    st.just(10**400),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=3),
    st.sampled_from(["cosine", "Adam", "Nadam"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["name", "eta", "alpha", "total"]), st.sampled_from(["cosine", 3]), max_size=2),
)


@settings(REPEATABLE, max_examples=300)
@given(name=st.one_of(st.sampled_from([*OPTIMIZERS]), st.text(max_size=5)), data=st.data())
def test_whatever_it_is_made_with_it_steps_or_says_why_not(name, data):
    known = [each.name for each in fields(OPTIMIZERS[name])] if name in OPTIMIZERS else []
    keywords = data.draw(st.dictionaries(st.sampled_from([*known, "other"]), ODD, max_size=4))
    p, problem = np.ones((2, 3)), ""
    try:
        optimizer = get_optimizer(name, keywords)
    except (ValueError, TypeError) as error:
        problem = str(error)
    else:
        with np.errstate(all="ignore"):
            problem = problem_of_steps(optimizer, p)
    assert problem.count(" ") > 4 or optimizer.t == 3


def problem_of_steps(optimizer, p):
    try:
        for loss in (1.0, 0.5, 0.7):
            alone(optimizer, [p], [np.full((2, 3), 0.1)], loss)
    except ValueError as error:  # a schedule that only a training can tell its length or its epoch
        return str(error)
    return ""


@pytest.mark.parametrize("name", [name for name, kind in OPTIMIZERS.items() if kind.fading])
def test_averages_keep_no_subnormal_numbers_where_the_gradient_has_become_0(name):
    optimizer, p = get_optimizer(name), np.ones(3, "float32")
    alone(optimizer, [p], [np.ones(3, "float32")])
    for _ in range(2111):
        alone(optimizer, [p], [np.zeros(3, "float32")])
    for slot in optimizer.fading:
        kept = optimizer.state[slot][0]
        assert not ((kept != 0) & (abs(kept) < np.finfo("float32").tiny)).any()


def test_what_adam_still_needs_is_kept():
    adam, p = get_optimizer("Adam"), np.ones(3, "float32")
    adam.update([p], [np.ones(3, "float32")])
    for _ in range(2000):
        adam.update([p], [np.zeros(3, "float32")])
    assert adam.state["m"][0].tolist() == [0, 0, 0]
    assert (adam.state["v"][0] > 1e-30).all()
