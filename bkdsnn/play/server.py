"""The page to play with: two tabs, and the server that shows them."""
import socket

import gradio as gr

from .playground import DigitPlayground, EventPlayground
from .tabs import QUIET, DigitTab, EventTab

INTRODUCTION = '''# Watch spikes decide
Two spiking networks of one kind, one trained on labels alone, one also distilled from a teacher. Give them a digit, and
see their spikes travel from layer to layer and their answers settle over the time steps.'''


def build_page(digits: DigitPlayground, events: EventPlayground) -> gr.Blocks:
    """The page for both kinds of data."""
    with gr.Blocks(title='bkdsnn: watch spikes decide', analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Tab('Draw a digit'):
            drawing = DigitTab(digits)
        with gr.Tab('Pick an event recording'):
            picking = EventTab(events)
        for tab in (drawing, picking):
            page.load(tab.take_any, tab.steps, tab.shown, **QUIET)
    return page


def theme() -> gr.Theme:
    """Quiet colours, and the fonts of the reader's system, so that nothing is fetched from elsewhere."""
    look = gr.themes.Default(primary_hue='slate', neutral_hue='slate', font=['system-ui', 'sans-serif'],
                             font_mono=['ui-monospace', 'monospace'])
    return look.set(body_text_color_subdued='*neutral_600', body_text_color_subdued_dark='*neutral_300')


def check_address(host: str, port: int) -> None:
    """Check that a server can listen there.

    Raises:
        ValueError: If there is no such port.
        OSError: If the port is taken, or the host is not this machine's; the message names both.
    """
    if not 0 < port < 65536:
        raise ValueError(f'port {port} does not exist; choose one from 1 to 65535.')
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        raise OSError(f'the page cannot be served at {host}:{port}: {error.strerror or error}. Choose another port '
                      'with --port, or another address with --host.') from error


def serve(page: gr.Blocks, host: str, port: int, wait: bool = True) -> None:
    """Show a page to browsers that ask for it, until Ctrl-C.

    Args:
        page: From :func:`build_page`.
        host: Address to listen on.
        port: Port to listen on.
        wait: Whether to stay until then; otherwise the server runs on in a thread.
    """
    print(f'Open http://{host}:{port} in a browser; Ctrl-C ends it.', flush=True)
    page.launch(server_name=host, server_port=port, prevent_thread_lock=not wait, theme=theme(), quiet=True,
                share=False, ssr_mode=False, footer_links=[], show_error=True)
