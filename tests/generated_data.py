"""Small image data sets in the files and folders of the real ones. The same arguments give the same bytes."""
import gzip
import pickle
from pathlib import Path

import cv2
import numpy as np

# Ids of ImageNet-1k, spread over its list.
WNIDS = ('n01440764', 'n01443537', 'n01484850', 'n01530575', 'n01667778', 'n01749939', 'n01847000', 'n01978287',
         'n02085620', 'n02099601', 'n02106662', 'n02123045', 'n02165456', 'n02280649', 'n02391049', 'n02504458',
         'n02676566', 'n02799071', 'n02951358', 'n03063599', 'n03445777', 'n04146614', 'n07753592', 'n15075141')


def picture(label, classes, size, rng):
    """An RGB image (H, W, 3) whose colour and shape tell its class, with noise; ``size`` is (width, height)."""
    width, height = size
    hue = int(180 * label / classes)
    colour = cv2.cvtColor(np.uint8([[[hue, 200, 230]]]), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    image = rng.normal(110, 20, (height, width, 3)).clip(0, 255).astype(np.uint8)
    centre = [int(extent * rng.uniform(0.4, 0.6)) for extent in size]
    radius = int(min(size) * rng.uniform(0.25, 0.35))
    if label % 3 == 0:
        cv2.circle(image, centre, radius, colour, -1)
    elif label % 3 == 1:
        cv2.rectangle(image, [c - radius for c in centre], [c + radius for c in centre], colour, -1)
    else:
        corners = [[centre[0], centre[1] - radius], [centre[0] - radius, centre[1] + radius],
                   [centre[0] + radius, centre[1] + radius]]
        cv2.fillPoly(image, [np.array(corners)], colour)
    return image


def write_jpeg(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def write_imagenet(root, classes=24, train_per_class=3, val_per_class=2, size=(256, 240)):
    """``{train,val}/<wnid>/*.JPEG`` with ImageNet's file names and sizes around ``size``; returns the ids."""
    root, rng = Path(root), np.random.default_rng(0)
    wnids = WNIDS[:classes]
    number = 0
    for label, wnid in enumerate(wnids):
        for i in range(train_per_class + val_per_class):
            varied = [int(extent * rng.uniform(0.8, 1.2)) for extent in size]
            number += 1
            path = (root / 'train' / wnid / f'{wnid}_{i * 37 + 18}.JPEG' if i < train_per_class else
                    root / 'val' / wnid / f'ILSVRC2012_val_{number:08d}.JPEG')
            write_jpeg(path, picture(label, classes, varied, rng))
    return wnids


def write_class_folders(root, classes=('apple', 'banana', 'cherry'), train_per_class=4, val_per_class=2,
                        size=(120, 90)):
    """``{train,val}/<class>/*.jpg``, as a user would have them; returns the classes."""
    root, rng = Path(root), np.random.default_rng(1)
    for label, name in enumerate(classes):
        for i in range(train_per_class + val_per_class):
            split = 'train' if i < train_per_class else 'val'
            write_jpeg(root / split / name / f'IMG_{i:04d}.jpg', picture(label, len(classes), size, rng))
    return classes


def write_batch(path, number, classes, rng, **entries):
    """A pickle as Python 2 wrote them: images as rows of 1024 red, 1024 green and 1024 blue values."""
    labels = [i % classes for i in range(number)]
    images = np.stack([picture(label, classes, (32, 32), rng) for label in labels])
    batch = dict(data=images.transpose(0, 3, 1, 2).reshape(number, -1),
                 filenames=[f'picture_{label}_s_{i:06d}.png' for i, label in enumerate(labels)])
    batch.update({key: labels if value is None else value(labels) for key, value in entries.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(batch, protocol=2))


def write_cifar10(root, per_batch=20, test=20):
    """``cifar-10-batches-py`` with five training batches, the test batch and the names."""
    folder, rng = Path(root) / 'cifar-10-batches-py', np.random.default_rng(2)
    for i in range(1, 6):
        write_batch(folder / f'data_batch_{i}', per_batch, 10, rng, labels=None,
                    batch_label=lambda _: f'training batch {i} of 5')
    write_batch(folder / 'test_batch', test, 10, rng, labels=None, batch_label=lambda _: 'testing batch 1 of 1')
    names = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
    meta = dict(label_names=names, num_cases_per_batch=per_batch, num_vis=3072)
    (folder / 'batches.meta').write_bytes(pickle.dumps(meta, protocol=2))


def write_cifar100(root, train=200, test=100):
    """``cifar-100-python`` with ``train``, ``test`` and ``meta``; the coarse classes are five fine ones each."""
    folder, rng = Path(root) / 'cifar-100-python', np.random.default_rng(3)
    for name, number in (('train', train), ('test', test)):
        write_batch(folder / name, number, 100, rng, fine_labels=None,
                    coarse_labels=lambda labels: [label // 5 for label in labels], batch_label=lambda _: name)
    meta = dict(fine_label_names=[f'fine_{i}' for i in range(100)],
                coarse_label_names=[f'coarse_{i}' for i in range(20)])
    (folder / 'meta').write_bytes(pickle.dumps(meta, protocol=2))


def idx_bytes(array):
    """A uint8 array as an IDX file."""
    head = bytes([0, 0, 8, array.ndim]) + b''.join(size.to_bytes(4, 'big') for size in array.shape)
    return head + array.tobytes()


def write_fashion_mnist(root, train_per_class=24, test_per_class=3, gzipped=True, seed=0):
    """The four IDX files of Fashion-MNIST and MNIST; returns images and labels of both parts by name."""
    root, rng, parts = Path(root), np.random.default_rng(seed), {}
    root.mkdir(parents=True, exist_ok=True)
    for part, per_class in (('train', train_per_class), ('t10k', test_per_class)):
        labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
        images = np.stack([cv2.cvtColor(picture(int(label), 10, (28, 28), rng), cv2.COLOR_RGB2GRAY)
                           for label in labels])
        parts[part] = images, labels
        for name, array in ((f'{part}-images-idx3-ubyte', images), (f'{part}-labels-idx1-ubyte', labels)):
            content = idx_bytes(array)
            path = root / (f'{name}.gz' if gzipped else name)
            path.write_bytes(gzip.compress(content, mtime=0) if gzipped else content)
    return parts
