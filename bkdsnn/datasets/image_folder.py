"""Images in one folder per class: ImageNet, and your own."""
from typing import Dict, List, Optional, Sequence

from mmengine.fileio import isdir
from mmpretrain import datasets

from bkdsnn.checkpoints.files import some_of
from bkdsnn.registry import DATASETS
from bkdsnn.utils.listing import IMAGE_EXTENSIONS, class_folders, list_classes

from .cached_images import CachedImages


class _ClassFolders(CachedImages):
    """Labels from folders on a disk, with errors that say what the tree should be."""

    def __init__(self, extensions: Sequence[str] = IMAGE_EXTENSIONS, **kwargs) -> None:
        super().__init__(extensions=extensions, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One dict per image: ``img_path`` and ``gt_label``."""
        self._check_folder()
        return super().load_data_list()

    def check_files(self) -> None:
        """Check that the folders are there, without looking for images.

        Raises:
            FileNotFoundError, ValueError: As of the class.
        """
        self._check_folder()
        if not self.ann_file:
            self._find_classes()

    def _check_folder(self) -> None:
        if not isdir(self.img_prefix):
            raise FileNotFoundError(f'{type(self).__name__}: there is no folder {self.img_prefix}. {self.help()}')

    def _find_classes(self) -> Dict[str, int]:
        folders = class_folders(self.img_prefix)
        if not folders:
            raise ValueError(f'{type(self).__name__}: {self.img_prefix} has no class folders. {self.help()}')
        return self.labels_of(folders)

    def _find_samples(self) -> list:
        self.folder_to_idx = self._find_classes()
        samples = list_classes(type(self).__name__, self.img_prefix, sorted(self.folder_to_idx), self.extensions)
        if not samples:
            raise ValueError(f'{type(self).__name__}: no folder in {self.img_prefix} has an image '
                             f'({", ".join(sorted(self.extensions))}). {self.help()}')
        return [(path, self.folder_to_idx[name]) for name, path in samples]


@DATASETS.register_module()
class ImageFolder(_ClassFolders, datasets.CustomDataset):
    """Images below ``data_root/split``, one folder per class.

    Args:
        data_root: Folder that holds the splits.
        split: Folder of this part, such as ``'train'``.
        classes: Names of the class folders, in the order of their labels; all splits must have the same. Defaults to
            the folders there are, sorted.
        cache_dir: Folder for decoded images, relative to ``data_root``. The result of the pipeline up to its first
            random transform is then made once per image; see :class:`~bkdsnn.datasets.sample_cache.SampleCache`.
            ``None`` makes it anew every time.
        on_error: ``'skip'`` takes another image, drawn at random, for one that cannot be read, and counts these in the
            log. For training alone.
        **kwargs: As :class:`mmpretrain.datasets.CustomDataset`.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it has no class folders, other ones than ``classes``, or no images; or if a cache has nothing to
            keep, or the disk no room for it.
    """

    def __init__(self, data_root: str, split: str, classes: Optional[Sequence[str]] = None, **kwargs) -> None:
        super().__init__(data_root=data_root, data_prefix=split, classes=classes or None, **kwargs)

    def help(self) -> str:
        """What the tree should be, for errors."""
        return (f'Expected are {self.data_root}/{{train,val}}/<class>/<name>.jpg, one folder per class. A config that '
                'counts the classes takes the folder that holds train and val from the environment: '
                'DATA_ROOT=... python tools/train.py CONFIG.')

    def labels_of(self, folders: List[str]) -> Dict[str, int]:
        """Label of each class folder."""
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(folders)
        missing, unknown = sorted(set(self.CLASSES) - set(folders)), sorted(set(folders) - set(self.CLASSES))
        if missing or unknown:
            parts = [f'{what} {some_of(names)}' for what, names in (('missing', missing), ('not among them', unknown))
                     if names]
            raise ValueError(
                f'ImageFolder: {self.img_prefix} has {len(folders)} class folders but the config {len(self.CLASSES)} '
                f'classes: {"; ".join(parts)}. All splits need the same class folders, if need be empty ones. '
                f'{self.help()}')
        return {folder: label for label, folder in enumerate(self.CLASSES)}


@DATASETS.register_module()
class ImageNet(_ClassFolders, datasets.ImageNet):
    """ImageNet-1k as :class:`mmpretrain.datasets.ImageNet`, with its folders checked by name.

    Args:
        data_root: Folder that holds ``train`` and ``val``.
        split: ``'train'`` or ``'val'``.
        partial: Whether class folders may be missing. The labels stay those of the 1,000 classes.
        cache_dir, on_error: As for :class:`ImageFolder`.
        **kwargs: As :class:`mmpretrain.datasets.ImageNet`.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If class folders are missing or unknown, or as for :class:`ImageFolder`.
    """

    def __init__(self, data_root: str, split: str, partial: bool = False, **kwargs) -> None:
        self.partial = partial
        super().__init__(data_root=data_root, split=split, **kwargs)

    def help(self) -> str:
        """What the tree should be, for errors."""
        return (f'Expected are {self.data_root}/{{train,val}}/<class>/<name>.JPEG with 1,000 folders from n01440764 to '
                'n15075141 each; the validation images come without folders and have to be sorted into them. Get them '
                f'from https://image-net.org, and link {self.data_root} to where they are.')

    def labels_of(self, folders: List[str]) -> Dict[str, int]:
        """Label of each class folder, by its WordNet id."""
        from timm.data import ImageNetInfo  # heavy, and only needed here
        labels = {wnid: label for label, wnid in enumerate(ImageNetInfo('imagenet-1k').label_names())}
        unknown, missing = sorted(set(folders) - set(labels)), sorted(set(labels) - set(folders))
        if unknown:
            raise ValueError(
                f'ImageNet: {some_of(unknown)} in {self.img_prefix} are no ids of ImageNet-1k. For classes of your '
                f'own, take a config for them: DATA_ROOT={self.data_root} python tools/train.py '
                f'configs/bkd/spikformer_custom.py, or configs/snn/spikformer_custom.py. {self.help()}')
        if missing and not self.partial:
            raise ValueError(
                f'ImageNet: {self.img_prefix} has {len(folders)} of 1,000 class folders; missing: {some_of(missing)}. '
                'To use a part of the classes, set partial=True in train_dataloader.dataset, val_dataloader.dataset '
                f'and test_dataloader.dataset. {self.help()}')
        return {folder: labels[folder] for folder in folders}
