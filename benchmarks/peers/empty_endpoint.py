"""What the web framework alone costs: an endpoint that does nothing, served as the product is.

`python -m benchmarks.peers.empty_endpoint PORT` serves it.
"""

import sys

import uvicorn
from fastapi import FastAPI

PATH = "/empty"

app = FastAPI()


@app.post(PATH)
async def empty() -> dict[str, str]:
    """Nothing."""
    return {}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        lifespan="off",
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
    )
