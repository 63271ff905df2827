"""Who works next where many want to: the event loop is shared by turns."""

import asyncio
import time

from provlog.server.workplace import TOGETHER, Workplace


async def in_order(*wanted: tuple[str, str, int]) -> list[str]:
    """Return the senders in the order in which they got to work; all ask at once."""
    workplace, order = Workplace(), list[str]()

    async def work(log: str, sender: str, weight: int) -> None:
        await workplace.turn(log, sender, weight)
        order.append(sender)

    async with asyncio.TaskGroup() as group:
        for each in wanted:
            group.create_task(work(*each))
    assert not workplace._turns
    return order


async def test_whoever_is_alone_does_not_wait() -> None:
    workplace = Workplace()
    # A coroutine that never waits is done at its first step.
    turn = workplace.turn("log", "a")
    try:
        turn.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def test_one_of_few_goes_before_the_rest_of_a_flood() -> None:
    order = await in_order(*[("log", "flood", 1)] * 100, ("log", "few", 1))
    assert order.index("few") <= 2 * TOGETHER + 8


async def test_a_quiet_log_goes_before_the_rest_of_a_busy_one() -> None:
    crowd = [("busy", f"s{number}", 1) for number in range(100)]
    order = await in_order(*crowd, ("quiet", "few", 1))
    assert order.index("few") <= 2 * TOGETHER + 8


async def test_steps_of_batches_do_not_hold_up_single_events() -> None:
    steps = [("log", "bulk", 32)] * 10
    order = await in_order(*steps, *[("log", "few", 1)] * 20)
    assert order.index("few") <= 1
    assert "bulk" not in order[order.index("few") :][:20]


async def test_a_step_that_took_long_weighs_what_it_took() -> None:
    workplace, begun = Workplace(), time.perf_counter() - 1
    await workplace.after("log", "bulk", 1, begun)
    # It was let in, and with it nobody else in this turn of the loop.
    turn = workplace.turn("log", "another")
    turn.send(None)  # which would raise StopIteration where it need not wait
    turn.close()


async def test_no_more_than_a_few_work_in_one_turn_of_the_loop() -> None:
    workplace, worked = Workplace(), list[int]()
    tasks = [
        asyncio.create_task(workplace.turn("log", f"s{number}")) for number in range(50)
    ]
    while not all(task.done() for task in tasks):
        done = sum(task.done() for task in tasks)
        await asyncio.sleep(0)
        worked.append(sum(task.done() for task in tasks) - done)
    assert max(worked) <= 2 * TOGETHER


async def test_who_goes_away_while_waiting_costs_nobody_a_turn() -> None:
    workplace = Workplace()
    tasks = [
        asyncio.create_task(workplace.turn("log", f"s{number}")) for number in range(50)
    ]
    await asyncio.sleep(0)
    for task in tasks[10:40]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(result is None for result in results) >= 20
    assert not workplace._turns
    await asyncio.wait_for(workplace.turn("log", "later"), 5)
