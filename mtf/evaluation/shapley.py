"""How much each player brings to the value of all: Shapley values.

The value that a player adds depends on who is there already. Its Shapley value is the mean of what
it adds over all orders in which the players may come; the values of all players add up to what all
of them together are worth beyond nobody. A set of players is a whole number, bit i standing for
player i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float64

Player = TypeVar("Player")
EXACT_PLAYERS = 8
"""So many players have 256 sets, each of which is valued; more are valued along random orders."""
ORDERS = 200


@dataclass(frozen=True)
class Plan:
    """Which sets must be valued, and how their values add up to those of the players.

    Attributes:
        players: how many there are.
        sets: the sets, each once; nobody first, all last.
        weights: of each set's value in each player's.
        orders: random orders that were drawn; None = all orders are accounted for.
    """

    players: int
    sets: tuple[int, ...]
    weights: Float64[np.ndarray, "player set"]
    orders: int | None = None

    def shapley(self, values: Float[np.ndarray, "set *draw"]) -> Float[np.ndarray, "player *draw"]:
        """The Shapley value of each player, from the value of each of ``sets``.

        Further axes are carried along. Σ over players = value of all - value of nobody.
        """
        return np.asarray(np.tensordot(self.weights, values, axes=1))


def plan(players: int, *, orders: int = ORDERS, seed: int = 0) -> Plan:
    """Every set up to 8 players; beyond, the sets along random orders.

    Args:
        players: at least 1.
        orders: random orders where there are more than 8 players.
        seed: of the orders.
    """
    if players <= EXACT_PLAYERS:
        return Plan(players, tuple(range(2**players)), exact_weights(players))
    return sampled(players, orders, seed)


def members(players: Sequence[Player], number: int) -> tuple[Player, ...]:
    """Who is in the set that a number stands for."""
    return tuple(player for index, player in enumerate(players) if number >> index & 1)


def exact_weights(players: int) -> Float64[np.ndarray, "player set"]:
    """Weights of all 2^N sets.

    A set S counts 1 / (N · C(N-1, |S|-1)) for who is in it, -1 / (N · C(N-1, |S|)) for who is not.
    """
    weights = np.empty((players, 2**players))
    for members in range(2**players):
        size = members.bit_count()
        for player in range(players):
            inside = members >> player & 1
            ways = players * comb(players - 1, size - inside)
            weights[player, members] = (1 if inside else -1) / ways
    return weights


def sampled(players: int, orders: int, seed: int) -> Plan:
    """What each player adds to those before it, averaged over random orders."""
    random = np.random.default_rng(seed)
    nobody, everybody = 0, 2**players - 1
    column = {nobody: 0, everybody: 1}
    added: list[tuple[int, int, int]] = []  # player, set without it, set with it
    for _ in range(orders):
        before = nobody
        for player in random.permutation(players).tolist():
            after = before | 1 << player
            added.append(
                (player, *(column.setdefault(one, len(column)) for one in (before, after)))
            )
            before = after
    weights = np.zeros((players, len(column)))
    for player, without, having in added:
        weights[player, without] -= 1 / orders
        weights[player, having] += 1 / orders
    ordered = sorted(column)  # nobody first, all last
    return Plan(players, tuple(ordered), weights[:, [column[one] for one in ordered]], orders)


__all__ = ["EXACT_PLAYERS", "ORDERS", "Plan", "exact_weights", "members", "plan", "sampled"]
