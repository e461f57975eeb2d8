"""HDF5 files: damage is found in a process of its own, since it can end the library's, or keep it busy without end."""
import multiprocessing
import os.path as osp
import warnings
from multiprocessing.connection import Connection

PATIENCE = 30.0  # seconds, beside those for the size
SLOWEST_DISK = 2e6  # bytes a second


def check_hdf5(path: str) -> None:
    """Check that all of a file can be read.

    A changed number is another number: the format has no checksums of the data unless its writer has asked for them.

    Raises:
        OSError: If not; the message names the file.
    """
    seconds = PATIENCE + osp.getsize(path) / SLOWEST_DISK
    result, sender = multiprocessing.Pipe(duplex=False)
    # A fork, as data loaders' workers are: it has imported what it needs.
    process = multiprocessing.get_context('fork').Process(target=_read_all, args=(path, sender), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # of forks beside threads
        process.start()
    sender.close()
    try:
        said = result.recv() if result.poll(seconds) else f'the library did not end within {seconds:.0f} s'
    except EOFError:
        said = 'the library crashed'
    process.kill()
    process.join()
    if said:
        raise OSError(f'{path} is damaged: {said}. Compare the checksum that is published with it.')


def _read_all(path: str, sender: Connection) -> None:
    import h5py  # comes with tonic, which few data sets need

    def read(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            rows = range(0, len(item), 256) if item.shape else ()
            for start in rows:
                item[start:start + 256]
            if not item.shape:
                item[()]

    try:
        with h5py.File(path, 'r') as file:
            file.visititems(read)
        sender.send(None)
    except Exception as error:  # h5py raises what it likes
        sender.send(' '.join(f'{type(error).__name__}: {error}'.split()))
