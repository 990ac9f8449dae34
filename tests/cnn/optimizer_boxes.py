"""The algorithms of the papers, one line after the other, on one number at a time in plain Python.

Each takes where a parameter starts and its gradients, step by step, and gives where it ends; none looks
at how `cnn.optimizers` writes it. The letters are the papers'.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, exp, sqrt

Floats = Sequence[float]


def sgd(theta: float, gradients: Floats, eta: float) -> float:
    """Robbins and Monro (1951)."""
    for g in gradients:
        theta = theta - eta * g
    return theta


def momentum(theta: float, gradients: Floats, eta: float, mu: float) -> float:
    """Sutskever et al. (2013), eq. 1 and 2."""
    v = 0.0
    for g in gradients:
        v = mu * v - eta * g
        theta = theta + v
    return theta


def nag(theta: float, gradients: Floats, eta: float, mu: float) -> float:
    """Sutskever et al. (2013), eq. 3 and 4; their gradients are taken at theta + mu v, which is what is given."""
    v, theta = 0.0, theta
    for g in gradients:
        v_new = mu * v - eta * g
        theta, v = theta + v_new, v_new
    return theta + mu * v  # the point ahead, which is what the network holds


def adagrad(x: float, gradients: Floats, eta: float, eps: float) -> float:
    """Duchi, Hazan and Singer (2011), the diagonal form."""
    G = 0.0
    for g in gradients:
        G = G + g**2
        x = x - eta / (sqrt(G) + eps) * g
    return x


def rmsprop(w: float, gradients: Floats, eta: float, rho: float, eps: float) -> float:
    """Tieleman and Hinton (2012), lecture 6.5."""
    mean_square = 0.0
    for g in gradients:
        mean_square = rho * mean_square + (1 - rho) * g**2
        w = w - eta * g / (sqrt(mean_square) + eps)
    return w


def adadelta(x: float, gradients: Floats, rho: float, eps: float) -> float:
    """Zeiler (2012), algorithm 1."""
    E_g2 = E_dx2 = 0.0
    for g in gradients:
        E_g2 = rho * E_g2 + (1 - rho) * g**2
        delta = -sqrt(E_dx2 + eps) / sqrt(E_g2 + eps) * g
        E_dx2 = rho * E_dx2 + (1 - rho) * delta**2
        x = x + delta
    return x


def adam(theta: float, gradients: Floats, alpha: float, beta1: float, beta2: float, eps: float) -> float:
    """Kingma and Ba (2015), algorithm 1."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - alpha * m_hat / (sqrt(v_hat) + eps)
    return theta


def adamax(theta: float, gradients: Floats, alpha: float, beta1: float, beta2: float, eps: float) -> float:
    """Kingma and Ba (2015), algorithm 2, with PyTorch's eps."""
    m = u = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, abs(g) + eps)
        theta = theta - alpha / (1 - beta1**t) * m / u
    return theta


def nadam(theta: float, gradients: Floats, alpha: float, mu: float, nu: float, eps: float, psi: float) -> float:
    """Dozat (2016), algorithm 2, with the bias of n corrected by 1 / (1 - nu^t), as in PyTorch."""
    m = n = 0.0
    product = 1.0
    for t, g in enumerate(gradients, 1):
        mu_t = mu * (1 - 0.5 * 0.96 ** (t * psi))
        mu_next = mu * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
        product = product * mu_t
        m = mu * m + (1 - mu) * g
        n = nu * n + (1 - nu) * g**2
        m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu_t) * g / (1 - product)
        theta = theta - alpha / (sqrt(n / (1 - nu**t)) + eps) * m_hat
    return theta


def rmsprop_graves(w: float, gradients: Floats, eta: float, rho: float, mu: float, eps: float) -> float:
    """Graves (2013), eq. 38 to 41; Chainer's formulas."""
    n = g = delta = 0.0
    for grad in gradients:
        n = rho * n + (1 - rho) * grad * grad
        g = rho * g + (1 - rho) * grad
        delta = mu * delta - eta * grad / sqrt(n - g * g + eps)
        w = w + delta
    return w


def smorms3(param: float, gradients: Floats, eta: float, eps: float) -> float:
    """Simon Funk (2015); Chainer's formulas."""
    mem, g, g2 = 1.0, 0.0, 0.0
    for grad in gradients:
        r = 1 / (mem + 1)
        g = (1 - r) * g + r * grad
        g2 = (1 - r) * g2 + r * grad * grad
        x = g * g / (g2 + eps)
        param = param - grad * min(x, eta) / (sqrt(g2) + eps)
        mem = 1 + mem * (1 - x)
    return param


def eve(
    theta: float,
    gradients: Floats,
    losses: Floats,
    alpha: float,
    beta1: float,
    beta2: float,
    beta3: float,
    eps: float,
    c: float,
    f_star: float,
) -> float:
    """Hayashi, Koushik and Neubig (2016), version 3, the algorithm's figure."""
    m = v = d_tilde = before = 0.0
    for t, (g, f) in enumerate(zip(gradients, losses, strict=True), 1):
        m = beta1 * m + (1 - beta1) * g
        m_hat = m / (1 - beta1**t)
        v = beta2 * v + (1 - beta2) * g**2
        v_hat = v / (1 - beta2**t)
        if t > 1:
            d = abs(f - before) / (min(f, before) - f_star)
            d_hat = min(max(d, 1 / c), c)
            d_tilde = beta3 * d_tilde + (1 - beta3) * d_hat
        else:
            d_tilde = 1.0
        theta = theta - alpha / d_tilde * m_hat / (sqrt(v_hat) + eps)
        before = f
    return theta


def santa_e(
    theta: float,
    gradients: Floats,
    noise: Floats,
    eta: float,
    sigma: float,
    anne_rate: float,
    burnin: int,
    C: float,
    N: float,
    lam: float,
    derivative: bool,
) -> float:
    """Chen et al. (2016), algorithm 1, with eta^1.5 in the noise; noise[0] is that of u_0, noise[t] zeta_t."""
    u, alpha, v = sqrt(eta) * noise[0], sqrt(eta) * C, 0.0
    g_before = None
    for t, mean in enumerate(gradients, 1):
        beta = t**anne_rate
        f = N * mean  # the paper's gradient is the sum over N images
        v = sigma * v + (1 - sigma) / N**2 * f * f
        g = 1 / sqrt(lam + sqrt(v))
        g_before = g if g_before is None else g_before
        u_before = u
        if t < burnin:
            alpha = alpha + (u_before * u_before - eta / beta)
            u = sqrt(2 * eta**1.5 / beta * g_before) * noise[t]
            if derivative:
                u = u + eta / beta * (1 - g_before / g) / u_before
        else:
            u = 0.0
        u = u + (1 - alpha) * u_before - eta * g * f
        theta = theta + g * u
        g_before = g
    return theta


def santa_sss(
    theta: float,
    gradients: Floats,
    noise: Floats,
    eta: float,
    sigma: float,
    anne_rate: float,
    burnin: int,
    C: float,
    N: float,
    lam: float,
    derivative: bool,
) -> float:
    """Chen et al. (2016), algorithm 2, with eta^1.5 in the noise."""
    u, alpha, v = sqrt(eta) * noise[0], sqrt(eta) * C, 0.0
    g_before = None
    for t, mean in enumerate(gradients, 1):
        beta = t**anne_rate
        f = N * mean  # the paper's gradient is the sum over N images
        v = sigma * v + (1 - sigma) / N**2 * f * f
        g = 1 / sqrt(lam + sqrt(v))
        g_before = g if g_before is None else g_before
        u_before = u
        theta = theta + g * u_before / 2
        if t < burnin:
            alpha = alpha + (u_before * u_before - eta / beta) / 2
            u = exp(-alpha / 2) * u_before
            u = u - g * f * eta + sqrt(2 * g_before * eta**1.5 / beta) * noise[t]
            if derivative:
                u = u + eta / beta * (1 - g_before / g) / u_before
            u = exp(-alpha / 2) * u
            alpha = alpha + (u * u - eta / beta) / 2
        else:
            u = exp(-alpha / 2) * u_before
            u = u - g * f * eta
            u = exp(-alpha / 2) * u
        theta = theta + g * u / 2
        g_before = g
    return theta


def amsgrad(theta: float, gradients: Floats, alpha: float, beta1: float, beta2: float, eps: float) -> float:
    """Reddi, Kale and Kumar (2018), algorithm 2, with the corrections of Adam, as in PyTorch."""
    m = v = v_hat = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        v_hat = max(v_hat, v)
        theta = theta - alpha * (m / (1 - beta1**t)) / (sqrt(v_hat / (1 - beta2**t)) + eps)
    return theta


def adabound(
    x: float, gradients: Floats, alpha: float, eta: float, beta1: float, beta2: float, eps: float, largest: bool = False
) -> float:
    """Luo et al. (2019), algorithm 2, and 3 with the `largest` v so far; eps beside the root."""
    m = v = v_max = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        v_max = max(v_max, v) if largest else v
        lower = eta - eta / ((1 - beta2) * t + 1)
        upper = eta + eta / ((1 - beta2) * t)
        eta_hat = min(max(alpha / (sqrt(v_max) + eps), lower), upper)
        x = x - eta_hat / sqrt(t) * m
    return x


def amsbound(x: float, gradients: Floats, alpha: float, eta: float, beta1: float, beta2: float, eps: float) -> float:
    """Luo et al. (2019), algorithm 3."""
    return adabound(x, gradients, alpha, eta, beta1, beta2, eps, largest=True)


def adabelief(theta: float, gradients: Floats, alpha: float, beta1: float, beta2: float, eps: float) -> float:
    """Zhuang et al. (2020), algorithm 2."""
    m = s = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        theta = theta - alpha * (m / (1 - beta1**t)) / (sqrt(s / (1 - beta2**t)) + eps)
    return theta


def sam_climb(gradient: Floats, rho: float, q: float) -> list[float]:
    """Foret et al. (2021), eq. 2: how far to climb, from the whole gradient."""
    p = q / (q - 1)
    norm = sum(abs(g) ** q for g in gradient)
    return [rho * copysign(1, g) * abs(g) ** (q - 1) / norm ** (1 / p) for g in gradient]
