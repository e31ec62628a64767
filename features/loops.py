"""The operations of the vocabulary as loops over one customer's rows, compiled: what a feature is, said once and plainly.

``run`` goes through customers and cutoffs; a customer's rows before the cutoff are ``[first, end)``, those in a window
``[low, end)``, sorted by time. Rows that agree in customer and time stand in any order, so nothing may depend on theirs:
sums are whole numbers, and floats are added up in an order of their own. All of it is one file, since what is kept of a
compiled function is not made anew when a function of another file changes.
"""

import numpy as np
from numba import njit

__all__ = ["CODES", "GROUPED", "NO_MASK", "previous", "run"]

DAY_US = 86_400_000_000.0
WEEK_US = 7 * 86_400_000_000
MONTH_US = 30 * 86_400_000_000
FAR = 2**62
NO_MASK = -1

_ROWS = (
    "count",
    "total",
    "mean",
    "share",
    "share_of_total",
    "std",
    "minimum",
    "maximum",
    "distinct",
    "periods",
    "slope",
)
_ENDS = ("first", "last", "last_word", "since_first", "since_last", "span", "latest", "last_rated")
_LATER = ("followed", "open", "followed_share", "followed_mean", "since_followed")
_GAPS = (
    "gaps", "gap_mean", "gap_std", "gap_min", "gap_max", "gap_last", "clumpiness", "log_day_gaps", "longer_gaps",
    "longer_gaps_share", "renewal_share",
)  # fmt: skip
GROUPED = ("top_share", "hhi", "entropy", "top_word")
"""Operations whose second column is of words."""
_ORDER = (*_ROWS, *_ENDS, *_LATER, *_GAPS, *GROUPED)

CODES = {name: number for number, name in enumerate(_ORDER)} | {
    "slope_of": _ORDER.index("slope"), "last_flag": _ORDER.index("last"),
}  # fmt: skip
"""Operation -> its number in a program."""

(
    COUNT, TOTAL, MEAN, SHARE, SHARE_OF_TOTAL, STD, MINIMUM, MAXIMUM, DISTINCT, PERIODS, SLOPE,
    FIRST, LAST, LAST_WORD, SINCE_FIRST, SINCE_LAST, SPAN, LATEST, LAST_RATED,
    FOLLOWED, OPEN, FOLLOWED_SHARE, FOLLOWED_MEAN, SINCE_FOLLOWED,
    GAPS, GAP_MEAN, GAP_STD, GAP_MIN, GAP_MAX, GAP_LAST, CLUMPINESS, LOG_DAY_GAPS, LONGER, LONGER_SHARE, RENEWAL,
    TOP_SHARE, HHI, ENTROPY, TOP_WORD,
) = range(len(_ORDER))  # fmt: skip


def compiled(function):
    """Compile a function when it is first called; what was compiled is kept beside this file, or with the user's caches."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither place can be written to
        return njit(nogil=True)(function)


@compiled
def run(program, scales, start, time, numbers, words, sizes, masks, cutoffs, windows, out):
    """Compute the features of a stream for all its customers at all cutoffs.

    Parameters
    ----------
    program
        F x 6: operation, column, second column, mask, window (its place in ``windows``), and a number of its own.
    scales
        F: what the result is divided by.
    start
        K + 1: where each customer's rows begin and end.
    time
        N, ascending within a customer.
    numbers, words, masks
        Columns x N.
    sizes
        How many words each column of words has.
    cutoffs
        C, ascending.
    windows
        Microseconds; the last is the whole history.
    out
        F x C x K.
    """
    shape = out.shape[1:]
    first, end, low, instant = edges(start, time, cutoffs, windows)
    largest = 1
    for size in sizes:
        largest = max(largest, size)
    room = np.zeros((3, largest), dtype=np.int64)
    no_mask = np.zeros(0, dtype=np.bool_)
    found = np.empty(len(end))
    for row in range(len(program)):
        operation, of, by, mask, window, own = program[row]
        values = numbers[of] if of >= 0 else time
        kept, begin = masks[mask] if mask >= 0 else no_mask, low[window]
        if operation <= SLOPE:
            others = numbers[by] if by >= 0 else time
            of_rows(operation, time, values, others, kept, begin, end, instant, own, found)
        elif operation <= LAST_RATED:
            others = numbers[by] if by >= 0 else time
            of_ends(operation, time, values, others, kept, first, end, instant, found)
        elif operation <= SINCE_FOLLOWED:
            of_later(operation, time, values, kept, first, begin, end, instant, found)
        elif operation <= RENEWAL:
            of_gaps(operation, time, values, kept, first, end, instant, own, found)
        else:
            of_groups(operation, values, words[by], kept, begin, end, own, room, found)
        out[row] = (found / scales[row]).reshape(shape)


@compiled
def edges(start, time, cutoffs, windows):
    """Return of each cell (cutoff by cutoff, each customer) the first row, the end, where each window begins, and the cutoff."""
    customers = len(start) - 1
    cells = len(cutoffs) * customers
    first, end, instant = np.empty(cells, np.int64), np.empty(cells, np.int64), np.empty(cells, np.int64)
    low = np.empty((len(windows), cells), np.int64)
    for customer in range(customers):
        last = start[customer]
        for at in range(len(cutoffs)):
            cell, cutoff = at * customers + customer, cutoffs[at]
            last = begin_of(time, last, start[customer + 1], cutoff)
            first[cell], end[cell], instant[cell] = start[customer], last, cutoff
            for window in range(len(windows) - 1):
                low[window, cell] = begin_of(time, start[customer], last, cutoff - windows[window])
            low[len(windows) - 1, cell] = start[customer]
    return first, end, low, instant


@compiled
def begin_of(time, first, end, instant):
    """Return the first row at or after an instant."""
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        if time[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def keeps(kept, row):
    """Tell whether the filter, if there is one, selects a row."""
    return len(kept) == 0 or kept[row]


@compiled
def previous(codes, kept, start, size):
    """Return for each row the customer's last row before it of the same word: -1 where there is none, ``FAR`` without word.

    Parameters
    ----------
    size
        How many words there are.
    """
    last = np.full(size, -1, dtype=np.int64)
    found = np.empty(len(codes), dtype=np.int64)
    for customer in range(len(start) - 1):
        first = start[customer]
        for row in range(first, start[customer + 1]):
            code = codes[row]
            if code < 0 or not keeps(kept, row):
                found[row] = FAR
            else:
                found[row] = last[code] if last[code] >= first else -1
                last[code] = row
    return found


@compiled
def of_rows(operation, time, values, others, kept, low, end, cutoff, own, out):
    """Find what the rows in each window add up to."""
    for cell in range(len(out)):
        a, b = low[cell], end[cell]
        if operation == COUNT:
            out[cell] = count(kept, a, b)
        elif operation == TOTAL:
            out[cell] = total(values, kept, a, b)
        elif operation in (MEAN, SHARE):
            out[cell] = ratio(total(values, kept, a, b), count(kept, a, b))
        elif operation == SHARE_OF_TOTAL:
            out[cell] = ratio(total(values, kept, a, b), total(others, kept, a, b))
        elif operation == STD:
            out[cell] = deviation(values, kept, a, b)
        elif operation == MINIMUM:
            out[cell] = -largest_of(-1, values, kept, a, b)
        elif operation == MAXIMUM:
            out[cell] = largest_of(1, values, kept, a, b)
        elif operation == DISTINCT:
            out[cell] = distinct(values, a, b)
        elif operation == PERIODS:
            out[cell] = periods(time, kept, a, b, cutoff[cell])
        else:
            out[cell] = slope(time, values, kept, a, b, cutoff[cell], own)


@compiled
def ratio(part, whole):
    """Return part / whole, null where the whole is 0."""
    return part / whole if whole != 0 else np.nan


@compiled
def count(kept, begin, end):
    """Return the number of rows."""
    if len(kept) == 0:
        return end - begin
    found = 0
    for row in range(begin, end):
        found += kept[row]
    return found


@compiled
def total(values, kept, begin, end):
    """Return the sum of a column, exact."""
    found = 0
    for row in range(begin, end):
        if keeps(kept, row):
            found += values[row]
    return found


@compiled
def largest_of(sign, values, kept, begin, end):
    """Return the largest value, or the smallest one's negative."""
    found, there = -FAR, False
    for row in range(begin, end):
        if keeps(kept, row):
            found, there = max(found, sign * values[row]), True
    return np.float64(found) if there else np.nan


@compiled
def deviation(values, kept, begin, end):
    """Return the population standard deviation, from exact sums of the distances from the smallest value.

    Squares overflow 64 bits, so a distance is split into ``upper * 2**23 + lower`` and three products are added up.
    """
    rows = count(kept, begin, end)
    if rows < 2:
        return np.nan
    least = np.int64(-largest_of(-1, values, kept, begin, end))
    summed, upper_2, mixed, lower_2 = 0, 0, 0, 0
    for row in range(begin, end):
        if keeps(kept, row):
            distance = values[row] - least
            upper, lower = distance >> 23, distance & (2**23 - 1)
            summed, upper_2, mixed, lower_2 = (
                summed + distance, upper_2 + upper * upper, mixed + upper * lower, lower_2 + lower * lower,
            )  # fmt: skip
    squares = upper_2 * 2.0**46 + mixed * 2.0**24 + lower_2
    return np.sqrt(max(squares - np.float64(summed) * summed / rows, 0.0) / rows)


@compiled
def distinct(before, begin, end):
    """Return the number of distinct words: of each the first row in the window, whose like before lies outside."""
    found = 0
    for row in range(begin, end):
        found += before[row] < begin
    return found


@compiled
def periods(time, kept, begin, end, cutoff):
    """Return in how many of the window's 30-day periods, counted back from the cutoff, there is a row."""
    found, last = 0, -1
    for row in range(begin, end):
        if keeps(kept, row):
            period = (cutoff - 1 - time[row]) // MONTH_US
            found += period != last
            last = period
    return found


@compiled
def slope(time, values, kept, begin, end, cutoff, weeks):
    """Return the least-squares slope over the weekly sums of the window, per week."""
    rise = 0
    for row in range(begin, end):
        if keeps(kept, row):
            # twice the distance from the middle week
            distance = weeks - 1 - 2 * ((cutoff - 1 - time[row]) // WEEK_US)
            rise += distance * values[row]
    return rise * 6.0 / (weeks * (weeks * weeks - 1))


@compiled
def of_ends(operation, time, values, others, kept, first, end, cutoff, out):
    """Find what is known of the first or the last row before each cutoff."""
    for cell in range(len(out)):
        oldest, newest = first[cell], end[cell] - 1
        while oldest <= newest and not keeps(kept, oldest):
            oldest += 1
        while newest >= oldest and not keeps(kept, newest):
            newest -= 1
        if newest < oldest:
            out[cell] = np.nan
        elif operation == SINCE_FIRST:
            out[cell] = (cutoff[cell] - time[oldest]) / DAY_US
        elif operation == SINCE_LAST:
            out[cell] = (cutoff[cell] - time[newest]) / DAY_US
        elif operation == SPAN:
            out[cell] = (time[newest] - time[oldest]) / DAY_US
        elif operation == LATEST:
            out[cell] = latest(values, others, oldest, end[cell])
        elif operation == FIRST:
            out[cell] = extreme_at(1, time, values, kept, oldest, end[cell])
        else:
            while newest > oldest and time[newest - 1] == time[newest]:
                newest -= 1
            if operation == LAST:
                out[cell] = extreme_at(1, time, values, kept, newest, end[cell])
            elif operation == LAST_WORD:
                code = -extreme_at(-1, time, values, kept, newest, end[cell])
                out[cell] = code if code >= 0 else np.nan
            else:
                out[cell] = last_rated(time, values, others, kept, newest, end[cell], cutoff[cell])


@compiled
def extreme_at(sign, time, values, kept, row, end):
    """Return the largest value (or the smallest one's negative) among the rows at one instant, from its first row on."""
    last = row
    while last < end and time[last] == time[row]:
        last += 1
    return largest_of(sign, values, kept, row, last)


@compiled
def latest(values, ranks, first, end):
    """Return the value of the row with the largest rank."""
    best = -1
    for row in range(first, end):
        if best < 0 or ranks[row] > ranks[best]:
            best = row
    return np.float64(values[best]) if best >= 0 else np.nan


@compiled
def last_rated(time, ratings, rated_at, kept, row, end, cutoff):
    """Return the worst rating among the rows at one instant, null while one of them has none."""
    worst = FAR
    for other in range(row, end):
        if time[other] == time[row] and keeps(kept, other):
            rated = ratings[other] < FAR and rated_at[other] < cutoff
            worst = min(worst, ratings[other] if rated else 0)
    return np.float64(worst) if worst > 0 else np.nan


@compiled
def of_later(operation, time, later, kept, first, low, end, cutoff, out):
    """Find what is known of a field with a time of its own: it counts from that time, and not before its row."""
    for cell in range(len(out)):
        followed, rows, passed, newest = 0, 0, 0, -FAR
        for row in range(first[cell] if operation == SINCE_FOLLOWED else low[cell], end[cell]):
            if keeps(kept, row):
                rows += 1
                if later[row] < cutoff[cell]:
                    at = max(later[row], time[row])
                    followed, passed, newest = followed + 1, passed + at - time[row], max(newest, at)
        if operation == FOLLOWED:
            out[cell] = followed
        elif operation == OPEN:
            out[cell] = rows - followed
        elif operation == FOLLOWED_SHARE:
            out[cell] = ratio(followed, rows)
        elif operation == FOLLOWED_MEAN:
            out[cell] = ratio(passed, followed) / DAY_US
        else:
            out[cell] = (cutoff[cell] - newest) / DAY_US if followed else np.nan


@compiled
def of_gaps(operation, time, values, kept, first, end, cutoff, own, out):
    """Find what the gaps between consecutive rows before each cutoff tell."""
    for cell in range(len(out)):
        a, b = first[cell], end[cell]
        rows = count(kept, a, b)
        if operation == GAPS:
            out[cell] = max(rows - 1, 0)
        elif operation == LOG_DAY_GAPS:
            out[cell] = log_day_gaps(values, kept, a, b)
        elif operation >= LONGER:
            out[cell] = renewal(operation, time, kept, a, b, cutoff[cell], own)
        elif rows < 2 or (operation == GAP_STD and rows < 3):
            out[cell] = np.nan
        elif operation == GAP_STD:
            out[cell] = gap_std(time, kept, a, b, rows)
        elif operation == CLUMPINESS:
            out[cell] = clumpiness(time, kept, a, b, cutoff[cell], rows)
        else:
            out[cell] = gap(operation, time, kept, a, b, rows) / DAY_US


@compiled
def gap(operation, time, kept, first, end, rows):
    """Return the mean, shortest, longest or last of the gaps, microseconds."""
    before, oldest, shortest, longest, last = -FAR, 0, FAR, -1, 0
    for row in range(first, end):
        if keeps(kept, row):
            if before == -FAR:
                oldest = time[row]
            else:
                last = time[row] - before
                shortest, longest = min(shortest, last), max(longest, last)
            before = time[row]
    if operation == GAP_MEAN:
        return (before - oldest) / (rows - 1)
    if operation == GAP_MIN:
        return np.float64(shortest)
    return np.float64(longest if operation == GAP_MAX else last)


@compiled
def gap_std(time, kept, first, end, rows):
    """Return the population standard deviation of the gaps, days.

    Of their distances from the first gap: one of these is 0, so that their mean is large only where their spread is.
    """
    before, gap, summed, squares = -FAR, -1, 0, 0.0
    for row in range(first, end):
        if keeps(kept, row):
            if before != -FAR:
                gap = time[row] - before if gap < 0 else gap
                summed += time[row] - before - gap
            before = time[row]
    mean, before = summed / (rows - 1), -FAR
    for row in range(first, end):
        if keeps(kept, row):
            if before != -FAR:
                squares += (time[row] - before - gap - mean) ** 2
            before = time[row]
    return np.sqrt(squares / (rows - 1)) / DAY_US


@compiled
def clumpiness(time, kept, first, end, cutoff, rows):
    """Return 1 + sum(x ln x) / ln(n) over n gaps, the open one included, as shares of the time since the first row.

    Zhang, Bradlow and Small (2015), "Predicting customer value using clumpiness", measure 2.3, without the gap before the
    first event, which starts the clock here.
    """
    before, found, age = -FAR, 0.0, 1.0
    for row in range(first, end + 1):
        if row == end or keeps(kept, row):
            now = cutoff if row == end else time[row]
            if before == -FAR:
                age = np.float64(cutoff - now)
            elif now > before:
                share = (now - before) / age
                found += share * np.log(share)
            before = now
    return 1.0 + found / np.log(rows)


@compiled
def log_day_gaps(day, kept, first, end):
    """Return the sum of the natural logarithms of the days between the days with a row."""
    before, found = -FAR, 0.0
    for row in range(first, end):
        if keeps(kept, row):
            if before != -FAR and day[row] > before:
                found += np.log(np.float64(day[row] - before))
            before = max(before, day[row])
    return found


@compiled
def renewal(operation, time, kept, first, end, cutoff, days):
    """Return how many of the gaps are longer than the time since the last row, and how many of those ended soon after."""
    newest = end - 1
    while newest >= first and not keeps(kept, newest):
        newest -= 1
    if newest < first:
        return 0.0 if operation == LONGER else np.nan
    silence, before, gaps, longer, ended = cutoff - time[newest], -FAR, 0, 0, 0
    for row in range(first, end):
        if keeps(kept, row):
            if before != -FAR:
                beyond = time[row] - before - silence
                gaps += 1
                longer += beyond > 0
                ended += 0 < beyond <= days * np.int64(DAY_US)
            before = time[row]
    if operation == LONGER:
        return np.float64(longer)
    return ratio(longer, gaps) if operation == LONGER_SHARE else ratio(ended, longer)


@compiled
def of_groups(operation, values, codes, kept, low, end, most, room, out):
    """Find how the total of each window is shared out among the words of a column.

    Parameters
    ----------
    room
        Three rows of as many numbers as there are words; the last is all zeros before and after.
    """
    sums, touched, seen = room[0], room[1], room[2]
    for cell in range(len(out)):
        groups, whole, grouped = 0, 0, 0
        for row in range(low[cell], end[cell]):
            if keeps(kept, row):
                code = codes[row]
                whole += values[row]
                if code >= 0:
                    if seen[code] == 0:
                        seen[code], sums[code], touched[groups] = 1, 0, code
                        groups += 1
                    sums[code] += values[row]
                    grouped += values[row]
        in_order(touched, groups)
        for group in range(groups):
            seen[touched[group]] = 0
        if groups == 0 or (operation != TOP_SHARE and grouped == 0):
            out[cell] = np.nan
        elif operation == TOP_SHARE:
            out[cell] = ratio(largest_groups(sums, touched, groups, most), whole)
        elif operation == TOP_WORD:
            out[cell] = first_largest(sums, touched, groups)
        else:
            out[cell] = spread(operation, sums, touched, groups, grouped)


@compiled
def first_largest(sums, touched, groups):
    """Return the word with the largest sum, of several the first of the alphabet."""
    best = touched[0]
    for group in range(1, groups):
        if sums[touched[group]] > sums[best]:
            best = touched[group]
    return best


@compiled
def spread(operation, sums, touched, groups, grouped):
    """Return the sum of the squared shares of the groups, or their entropy."""
    found = 0.0
    for group in range(groups):
        share = sums[touched[group]] / grouped
        if operation == HHI:
            found += share * share
        elif share > 0.0:
            found -= share * np.log(share)
    return found


@compiled
def in_order(touched, groups):
    """Sort the first few numbers in place: there are few, and nearly always in order."""
    for place in range(1, groups):
        code, before = touched[place], place - 1
        while before >= 0 and touched[before] > code:
            touched[before + 1] = touched[before]
            before -= 1
        touched[before + 1] = code


@compiled
def largest_groups(sums, touched, groups, most):
    """Return what the largest groups add up to; their sums are used up."""
    found = 0
    for _ in range(min(most, groups)):
        best = 0
        for group in range(1, groups):
            if sums[touched[group]] > sums[touched[best]]:
                best = group
        found += sums[touched[best]]
        sums[touched[best]] = -1
    return found
