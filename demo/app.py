"""A page to play with: draw a digit or pick an event recording, and watch the demo's networks decide."""
import argparse
import os
import sys

import torch

from bkdsnn.apis.cli import fail_clearly


def parse_args() -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on; 0.0.0.0 lets other machines in')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on')
    return parser.parse_args()


def main() -> None:
    """Load the networks and show the page until Ctrl-C."""
    args = parse_args()
    # Gradio reads it when it is imported, and else tells its makers about every start.
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    try:
        import gradio  # noqa: F401
    except ImportError:
        sys.exit("Error: the page needs gradio, which is not installed: pip install 'gradio>=6'")
    from bkdsnn.play import server
    from bkdsnn.play.playground import DigitPlayground, EventPlayground
    server.check_address(args.host, args.port)
    # On networks this small, more threads are slower.
    torch.set_num_threads(1)
    print('Loading six networks and their test data ...', flush=True)
    server.serve(server.build_page(DigitPlayground.load(), EventPlayground.load()), args.host, args.port)


if __name__ == '__main__':
    with fail_clearly():
        main()
