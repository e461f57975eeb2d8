"""Data sets and their transforms."""
from bkdsnn.utils import quiet  # noqa: F401  first, as it imports mmpretrain without its noise

from .cifar import CIFAR10, CIFAR100
from .digits import Digits
from .digits_dvs import DigitsDVS
from .event_folder import EventFolder
from .fashion_dvs import MNISTDVS, FashionMNISTDVS
from .fashion_mnist import MNIST, FashionMNIST
from .image_folder import ImageFolder, ImageNet
from .tonic_dataset import TonicDataset
from .transforms import *  # noqa: F401,F403

__all__ = ['CIFAR10', 'CIFAR100', 'Digits', 'DigitsDVS', 'EventFolder', 'FashionMNIST', 'FashionMNISTDVS',
           'ImageFolder', 'ImageNet', 'MNIST', 'MNISTDVS', 'TonicDataset']
