"""Create predictions until a budget ends the loop: ``spender.py TIMES``. Prints the number created and the reason for
the end.
"""

import sys

from kosmolua import Host, LimitError


def main(times):
    made = 0
    with Host(write="allow", isolation="none") as host:
        for _ in range(times):
            try:
                answer = host.call(
                    "create_prediction", {"version": "owner/images", "input": {"prompt": "x", "num_outputs": 2}}
                )
            except LimitError as error:
                sys.stdout.write(f"{made} {error.message}\n")
                return
            made += 1
            if answer["status"] != "succeeded" and made % 2:
                host.call("get_prediction", {"prediction_id": answer["id"]})
    sys.stdout.write(f"{made} done\n")


main(int(sys.argv[1]))
