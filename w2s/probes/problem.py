"""Many logistic regressions on one matrix: the objective, its gradient, and a certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from w2s.probes.arrays import Backend
from w2s.probes.preconditioner import Inverse

CURVATURE = 0.15  # typical p (1 - p) of a fitted probe: scale of the first inverse Hessian


@dataclass(frozen=True)
class Problem:
    """Columns on one matrix, in coordinates theta = [w; b], (d + 1, b).

    Attributes:
        ops: The array library.
        x: Centred, scaled rows, (n, d).
        narrow: The same in float32.
        y, u: Targets and normalised weights, (n, b).
        inverse: First inverse Hessian of w.
        l2: Penalty, in the coordinates of `x`.
    """

    ops: Backend
    x: Any
    narrow: Any
    y: Any
    u: Any
    inverse: Inverse
    l2: float

    def select(self, columns: Any) -> Problem:
        """The problem of some of the columns."""
        y, u = self.ops.columns(self.y, columns), self.ops.columns(self.u, columns)
        return replace(self, y=y, u=u, inverse=self.inverse.select(columns))

    def single(self) -> Problem:
        """The same in float32."""
        y, u = self.ops.narrow(self.y), self.ops.narrow(self.u)
        return replace(self, x=self.narrow, y=y, u=u, inverse=self.inverse.single(self.ops))

    def logits(self, theta: Any, *, out: Any = None) -> Any:
        """Logits (n, b), into an array of that shape where one is given."""
        logits = self.ops.xp.matmul(self.x, theta[:-1], out=out)
        logits += theta[-1]
        return logits

    def residual(self, logits: Any, *, out: Any = None) -> Any:
        """Weighted residuals u (p - y), (n, b), likewise."""
        residual = self.ops.sigmoid(logits, out=out)
        residual -= self.y
        residual *= self.u
        return residual

    def gradient(self, theta: Any, residual: Any) -> Any:
        """Gradient (d + 1, b) at theta, whose residuals are given."""
        xp = self.ops.xp
        gradient = xp.multiply(theta, 2 * self.l2)
        gradient[:-1] += self.x.T @ residual
        gradient[-1] = residual.sum(0)
        return gradient

    def precondition(self, gradient: Any) -> Any:
        """First inverse Hessian times gradient."""
        first = self.inverse.times(gradient[:-1])
        return self.ops.xp.concatenate([first, gradient[-1:] / CURVATURE])

    def objective(self, theta: Any, logits: Any) -> Any:
        """Objective of each column, (b,)."""
        loss = self.ops.dot(self.u, self.ops.loss(logits, self.y))
        return loss + self.l2 * self.ops.dot(theta[:-1], theta[:-1])


def certify(problem: Problem, theta: Any) -> tuple[Any, Any]:
    """The same coefficients with a better bias, and a bound on the relative gap of each column.

    Any q in [0, 1] with sum u (q - y) = 0 is feasible for the dual problem
    max -sum u (q log q + (1-q) log(1-q)) - |X'u(q-y)|^2 / (4 l2), and by Fenchel and Young the
    duality gap to the point (w, b) is |X'u(q-y) + 2 l2 w|^2 / (4 l2) + sum u KL(q || p(w, b)).
    Here b takes a Newton step s, and q = p + s p (1-p) follows p to first order. So the slope is 0,
    and as |sigmoid''| <= p (1-p), the divergence is at most s^4 sum u p (1-p) for |s| below 0.4.
    """
    xp = problem.ops.xp
    logits = problem.logits(theta)
    p, q = problem.ops.sigmoid(logits), problem.ops.sigmoid(-logits)
    variance = p * q
    variance *= problem.u
    p *= 1 - problem.y  # u (p - y) without cancellation where p is near y
    q *= problem.y
    residual = p
    residual -= q
    residual *= problem.u
    slope, bend = residual.sum(0), variance.sum(0)
    shift = -slope / xp.where(bend > 0, bend, xp.full_like(bend, xp.inf))
    variance *= shift
    residual += variance
    objective = problem.objective(theta, logits)
    theta = xp.concatenate([theta[:-1], (theta[-1] + shift)[None]])
    gradient = problem.gradient(theta, residual)
    bound = problem.ops.dot(gradient[:-1], gradient[:-1]) / (4 * problem.l2) + bend * shift**4
    lowest = objective + slope * shift - bound
    sound = (xp.abs(shift) < 0.4) & (xp.abs(gradient[-1]) <= FEASIBLE * lowest) & (lowest > 0)
    return theta, xp.where(sound, bound / lowest, xp.full_like(bound, xp.inf))


FEASIBLE = 1e-9  # sum u (q - y), relative to the objective, that counts as 0
