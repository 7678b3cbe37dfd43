"""The candle broker and the rules of policies, compiled: one pass over bars, one over decisions.

``simulate`` holds the money: cash, a signed size and the prices at which the position ends by
itself. Between events a bar costs two comparisons and a mark. What happened is written into flat
arrays; tables are made of them elsewhere.
"""

from __future__ import annotations

import numpy as np

from mtf.compiled import cached_njit

OPEN, INCREASE, REDUCE, CLOSE, STOP_LOSS, TAKE_PROFIT, LIQUIDATION = range(7)
"""What a fill is."""
BAR, KIND, SIZE, PRICE, COMMISSION, SLIPPAGE, ROW, TRADE = range(8)
"""Columns of the fills: sizes bought are positive; the decision, -1 = none; a trade's number."""
CASH, HELD, STOP, TAKE, LIQUIDATED_AT, SHORTFALL, FILLS, TRADES = range(8)
"""Elements of an account: quote currency, base coin, prices, and how much was written so far."""
A_HAIR = 1.0 + 1e-12
"""950 ticks must not become 949 because 0.1 is no binary fraction."""


@cached_njit()
def orders(times, exposure, open_time, valid, latency):
    """Which decision is filled at the open of which bar: the changes of target only.

    A decision is filled at the first bar that is there and opens no earlier than ``latency`` after
    it; the last of several before the same bar counts. NaN gives no order. The account starts flat.

    Returns:
        The bar and the decision of each order, ascending.
    """
    bars, rows = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    count, bar, before = 0, 0, 0.0
    waiting, its_bar = -1, -1
    for row in range(len(times) + 1):
        if row < len(times):
            if np.isnan(exposure[row]):
                continue
            while bar < len(valid) and (open_time[bar] < times[row] + latency or not valid[bar]):
                bar += 1
        due = waiting >= 0 and (row == len(times) or bar != its_bar)
        if due and exposure[waiting] != before:
            before = exposure[waiting]
            bars[count], rows[count] = its_bar, waiting
            count += 1
        if bar == len(valid):
            break
        waiting, its_bar = row, bar
    return bars[:count], rows[:count]


@cached_njit()
def set_liquidation(account, margin):
    """The price at which equity falls to ``margin`` times the position's value.

    cash + size·p = margin·|size|·p; below 0 where a long position has no debt.
    """
    cash, held = account[CASH], account[HELD]
    if held > 0.0:
        account[LIQUIDATED_AT] = -cash / (held * (1.0 - margin)) if cash < 0.0 else -np.inf
    elif held < 0.0:
        account[LIQUIDATED_AT] = cash / (-held * (1.0 + margin))


@cached_njit()
def fill(account, fills, costs, bar, kind, size, price, fee, slip, row):
    """Buy or sell ``size`` (signed) and book what it costs.

    A flat account never owes anything: what it can't pay is not its loss (``SHORTFALL``).
    """
    if kind == OPEN:
        account[TRADES] += 1.0
    value = abs(size) * price
    account[CASH] -= size * price + value * fee + value * slip
    account[HELD] += size
    costs[bar, 0] += value * fee
    costs[bar, 1] += value * slip
    number = int(account[FILLS])
    account[FILLS] += 1.0
    fills[number, BAR], fills[number, KIND] = bar, kind
    fills[number, SIZE], fills[number, PRICE] = size, price
    fills[number, COMMISSION], fills[number, SLIPPAGE] = value * fee, value * slip
    fills[number, ROW], fills[number, TRADE] = row, account[TRADES] - 1.0
    if account[HELD] == 0.0 and account[CASH] < 0.0:
        account[SHORTFALL] -= account[CASH]
        account[CASH] = 0.0


@cached_njit()
def pay_funding(account, costs, by_trade, bar, rate, price):
    """Longs pay positive rates, shorts get them; nobody pays more than there is."""
    held = account[HELD]
    if held == 0.0:
        return
    paid = min(held * price * rate, max(account[CASH] + held * price, 0.0))
    account[CASH] -= paid
    costs[bar, 2] += paid
    by_trade[int(account[TRADES]) - 1] += paid


@cached_njit()
def touched(account, opens, high, low):
    """What ends the position within a candle, and at which price; -1 = nothing.

    The open first: what it has passed already fills there. Then the adverse extreme, at the nearer
    of stop and liquidation. Then the favourable one. Nobody knows the order of the extremes.
    """
    long, stop, take = account[HELD] > 0.0, account[STOP], account[TAKE]
    forced = account[LIQUIDATED_AT]
    if long:
        level = max(stop, forced)
        kind = LIQUIDATION if forced > stop else STOP_LOSS
        lost_at_open, won_at_open = opens <= level, opens >= take
        lost, won = low <= level, high >= take
    else:
        level = min(stop, forced)
        kind = LIQUIDATION if forced < stop else STOP_LOSS
        lost_at_open, won_at_open = opens >= level, opens <= take
        lost, won = high >= level, low <= take
    if lost_at_open:
        return kind, opens
    if won_at_open:
        return TAKE_PROFIT, opens
    if lost:
        return kind, level
    if won:
        return TAKE_PROFIT, take
    return -1, np.nan


@cached_njit()
def end_position(account, fills, costs, bar, opens, high, low, fees, slip):
    """End the position if something in these prices does: stop, take-profit or liquidation."""
    if account[HELD] == 0.0:
        return
    kind, price = touched(account, opens, high, low)
    if kind == TAKE_PROFIT:  # it rested in the book: it gives liquidity, and its price is its price
        fill(account, fills, costs, bar, kind, -account[HELD], price, fees[1], 0.0, -1)
    elif kind >= 0:
        fill(account, fills, costs, bar, kind, -account[HELD], price, fees[0], slip, -1)


@cached_njit()
def whole_lots(size, lot):
    """A size rounded down to lots, towards nothing."""
    if lot == 0.0:
        return size
    return np.sign(size) * np.floor(abs(size) / lot * A_HAIR) * lot


@cached_njit()
def exit_price(price, tick, selling):
    """A price of a stop or take-profit on the grid of ticks, never better for who asks it."""
    if tick == 0.0:
        return price
    if selling:
        return np.floor(price / tick * A_HAIR) * tick
    return np.ceil(price / tick / A_HAIR) * tick


@cached_njit()
def set_exits(account, price, stop_loss, take_profit, tick):
    """Stop and take-profit of a position filled at ``price``; NaN distances = none."""
    side = 1.0 if account[HELD] > 0.0 else -1.0
    account[STOP], account[TAKE] = -side * np.inf, side * np.inf
    if not np.isnan(stop_loss):
        account[STOP] = exit_price(price * (1.0 - side * stop_loss), tick, side > 0.0)
    if not np.isnan(take_profit):
        account[TAKE] = exit_price(price * (1.0 + side * take_profit), tick, side > 0.0)


@cached_njit()
def rebalance(
    account, fills, costs, bar, price, exposure, row, stop_loss, take_profit, fees, slip, tick, lot,
    least,
):  # fmt: skip
    """Bring the position to ``exposure`` (its value over the equity, signed) at ``price``.

    A flip closes, pays for it, and opens with what is left. An order below ``least`` is not sent;
    closing is always allowed.
    """
    equity, held = account[CASH] + account[HELD] * price, account[HELD]
    if equity <= 0.0:
        return
    wanted = whole_lots(exposure * equity / price, lot)
    if held != 0.0 and wanted * held <= 0.0:
        fill(account, fills, costs, bar, CLOSE, -held, price, fees[0], slip, row)
        held = 0.0
        wanted = whole_lots(exposure * account[CASH] / price, lot)
    size = wanted - held
    if size == 0.0 or abs(size) * price < least:
        return
    if held == 0.0:
        kind = OPEN
    elif abs(wanted) > abs(held):
        kind = INCREASE
    else:
        kind = REDUCE
    fill(account, fills, costs, bar, kind, size, price, fees[0], slip, row)
    if kind != REDUCE:
        set_exits(account, price, stop_loss, take_profit, tick)


@cached_njit()
def simulate(
    marks, costs, fills, by_trade, ohlc, valid, order_bar, order_row, exposure, stop_loss,
    take_profit, paid_bar, paid_at_open, paid_rate, capital, fees, slip, margin, tick, lot, least,
):  # fmt: skip
    """Trade the orders and mark every bar.

    Args:
        marks: ``[bar, 3]``, written: equity, cash and size at each close.
        costs: ``[bar, 3]`` of zeros, added to: commission, slippage and funding.
        fills: ``[3 · orders, 8]``, written: an order can end one position and open another, which
            can end by itself.
        by_trade: ``[orders]`` of zeros, added to: funding of each round trip.
        ohlc: ``[bar, 4]``.
        valid: whether the bar is there.
        order_bar: the bar at whose open each order is filled, ascending, all of them there.
        order_row: the decision of each order.
        exposure: wanted position value over equity, signed, a decision.
        stop_loss: distance from the fill as a fraction, a decision; NaN = none.
        take_profit: alike.
        paid_bar: the bar in which each funding payment lies, ascending.
        paid_at_open: whether it is stamped by the bar's open: before the fill there.
        paid_rate: of each payment.
        capital: cash to begin with.
        fees: fractions of the value of taking and of making fills.
        slip: fraction of the value lost in taking fills.
        margin: maintenance margin.
        tick: of prices; 0 = none.
        lot: of sizes; 0 = none.
        least: smallest order, in quote currency.

    Returns:
        How many fills there were, and the loss that the account could not bear.
    """
    count = len(valid)
    account = np.zeros(8)
    account[CASH] = capital
    next_order = next_paid = bar = 0
    mark = 0.0
    while bar < count:
        event = count
        if next_order < len(order_bar):
            event = order_bar[next_order]
        if next_paid < len(paid_bar):
            event = min(event, paid_bar[next_paid])
        if bar == event:
            price = ohlc[bar, 0] if valid[bar] else mark
            while next_paid < len(paid_bar) and paid_bar[next_paid] == bar:
                if not paid_at_open[next_paid]:
                    break
                pay_funding(account, costs, by_trade, bar, paid_rate[next_paid], price)
                next_paid += 1
            set_liquidation(account, margin)
            if valid[bar]:
                end_position(account, fills, costs, bar, price, price, price, fees, slip)
            if next_order < len(order_bar) and order_bar[next_order] == bar:
                row = order_row[next_order]
                rebalance(
                    account, fills, costs, bar, price, exposure[row], row, stop_loss[row],
                    take_profit[row], fees, slip, tick, lot, least,
                )  # fmt: skip
                next_order += 1
            while next_paid < len(paid_bar) and paid_bar[next_paid] == bar:
                pay_funding(account, costs, by_trade, bar, paid_rate[next_paid], price)
                next_paid += 1
            set_liquidation(account, margin)
            event = bar + 1  # what follows in this bar and before the next event is the same
        cash, held = account[CASH], account[HELD]
        lower, upper = -np.inf, np.inf
        if held > 0.0:
            lower, upper = max(account[STOP], account[LIQUIDATED_AT]), account[TAKE]
        elif held < 0.0:
            lower, upper = account[TAKE], min(account[STOP], account[LIQUIDATED_AT])
        for now in range(bar, event):
            if valid[now]:
                if ohlc[now, 2] <= lower or ohlc[now, 1] >= upper:
                    opens, high, low = ohlc[now, 0], ohlc[now, 1], ohlc[now, 2]
                    end_position(account, fills, costs, now, opens, high, low, fees, slip)
                    cash, held, lower, upper = account[CASH], 0.0, -np.inf, np.inf
                mark = ohlc[now, 3]
            marks[now, 0], marks[now, 1], marks[now, 2] = cash + held * mark, cash, held
        bar = event
    return int(account[FILLS]), account[SHORTFALL]


@cached_njit()
def ruled(signal, holding, cooldown, dead_band):
    """Target weights from what each decision signals, under rules of time.

    Args:
        signal: wanted weight; 0 = flat, NaN = no opinion.
        holding: decisions that a position is held for, whatever is signalled meanwhile; then the
            signal of that moment decides anew, no opinion being flat. 0 = follow the signals.
        cooldown: decisions from the end of a position to the next one; 0 = it may turn at once.
        dead_band: smaller changes of a position of the same sign are left alone.

    Returns:
        A weight a decision; row k depends on rows up to k alone.
    """
    out = np.empty(len(signal))
    current = 0.0
    age = rest = 0
    for row in range(len(signal)):
        wanted = signal[row]
        if current == 0.0:
            rest = max(rest - 1, 0)
        else:
            age += 1
            if age < holding:
                wanted = current
            elif np.isnan(wanted):
                wanted = 0.0 if holding > 0 else current
            elif wanted * current > 0.0 and abs(wanted - current) < dead_band:
                wanted = current
            if holding > 0 and age >= holding:
                age = 0
            if wanted * current <= 0.0:
                current = 0.0
                rest = cooldown
        if current != 0.0:
            current = wanted
        elif rest == 0 and wanted != 0.0 and not np.isnan(wanted):
            current = wanted
            age = 0
        out[row] = current
    return out
