"""What each loss asks for, and where it is in the networks."""
import inspect
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Union

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .recorder import FeatureRecorder, find_module

# What the distiller delivers; see bkdsnn.models.losses.DistillLoss.
DELIVERED = ('student', 'teacher', 'target', 'data_samples', 'progress', 'teacher_part')
# Taps that a network has unless its config says otherwise.
DEFAULT_TAPS = dict(student=dict(logits='head', feature='backbone'), teacher=dict(logits='head'))
# Module paths: one, or a list or dict of them.
Paths = Union[str, list, dict]


@dataclass(frozen=True)
class Request:
    """A loss before it is built.

    Attributes:
        name: Its log key.
        cfg: Its config, with module paths in place of taps.
        needs: Arguments that its ``forward`` takes.
        student: Paths of the student's modules that it gets the outputs of; ``None`` if it does not ask.
        teacher: Likewise of the teacher's.
        teacher_part: Path of the teacher's module that it gets itself.
    """

    name: str
    cfg: dict
    needs: tuple
    student: Optional[Paths] = None
    teacher: Optional[Paths] = None
    teacher_part: Optional[str] = None

    @classmethod
    def of(cls, name: str, cfg: dict, taps: Dict[str, Dict[str, Union[str, list]]]) -> 'Request':
        """Read what a loss asks for from its config, its class and the pair's taps.

        Raises:
            ValueError: If its class is not registered, or asks for what is not delivered.
        """
        key = f'model.losses.{name}'
        if 'type' not in cfg:
            raise ValueError(f'{key}.type is missing; name the class of the loss.')
        loss = MODELS.get(cfg['type'])
        if loss is None:
            raise ValueError(f'{key}.type={cfg["type"]!r} is not registered.')
        asked = inspect.signature(loss.forward).parameters
        needs = tuple(argument for argument in asked if argument in DELIVERED)
        unknown = [argument for argument, parameter in asked.items() if argument not in (*DELIVERED, 'self')
                   and parameter.default is parameter.empty and parameter.kind not in (
                       parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)]
        if unknown:
            raise ValueError(f'{key}: {loss.__name__}.forward asks for {unknown[0]!r}, which is not delivered; a loss '
                             f'may ask for {", ".join(DELIVERED)}.')
        arguments, cfg, places = inspect.signature(loss).parameters, dict(cfg), {}
        for side in ('student', 'teacher', 'teacher_part'):
            default = arguments[side].default if side in arguments else inspect.Parameter.empty
            if default is inspect.Parameter.empty:
                default = getattr(loss, 'default_tap', 'logits')
            tap = cfg.get(side, default)
            if side in needs and tap is None:
                raise ValueError(f'{key}.{side} is None, but {loss.__name__} takes it; name a tap or a module path.')
            if side in needs:
                places[side] = resolve(tap, taps['student' if side == 'student' else 'teacher'], f'{key}.{side}')
            if side in arguments:
                cfg[side] = places.get(side, tap)
        return cls(name, cfg, needs, **places)

    def paths(self, side: str) -> List[str]:
        """All module paths of ``'student'`` or ``'teacher'`` that it records."""
        paths: List[str] = []
        apply(getattr(self, side), paths.append)
        return paths

    def check_paths(self, side: str, network: nn.Module, taps: Dict[str, Union[str, list]]) -> None:
        """Raise ValueError, with the taps there are, for the first path that the network does not have."""
        paths = self.paths(side)
        if side == 'teacher' and self.teacher_part is not None and find_module(network, self.teacher_part) is None:
            paths.insert(0, self.teacher_part)
        for path in paths:
            try:
                FeatureRecorder(network, [path], f'model.losses.{self.name}.{side}: the {side}')
            except ValueError as error:
                known = ', '.join(f'{tap}={place!r}' for tap, place in taps.items())
                raise ValueError(f'{error} Taps of the {side} are {known or "none"}; name others in model.taps.{side}.'
                                 ) from None

    def build(self, features: Dict[str, Dict[str, Tensor]]) -> nn.Module:
        """The loss, told the channels and shapes of a dry run where it wants to know them.

        Args:
            features: By side and path.

        Raises:
            TypeError, ValueError: As the loss does; the message names its config key.
        """
        cfg, arguments = dict(self.cfg), inspect.signature(MODELS.get(self.cfg['type'])).parameters
        lr_mult = None if 'lr_mult' in arguments else cfg.pop('lr_mult', None)
        for side in ('student', 'teacher'):
            recorded = apply(getattr(self, side), features[side].__getitem__)
            for fact, read in (('channels', channels_of), ('shape', shape_of)):
                if f'{side}_{fact}' in arguments and recorded is not None:
                    cfg.setdefault(f'{side}_{fact}', apply(recorded, read))
        try:
            loss = MODELS.build(cfg)
        except (TypeError, ValueError) as error:
            raise type(error)(f'model.losses.{self.name}: {error}') from error
        if lr_mult is not None:
            if not any(True for _ in loss.parameters()):
                raise ValueError(f'model.losses.{self.name}.lr_mult={lr_mult} is how fast the layers of a loss learn, '
                                 f'and {cfg["type"]} has none here. Leave it out.')
            loss.lr_mult = lr_mult
        return loss


def with_default_taps(taps: Dict[str, Dict[str, Union[str, list]]]) -> Dict[str, Dict[str, Union[str, list]]]:
    """A pair's taps of student and teacher, and those that networks have unless it says otherwise.

    Raises:
        ValueError: If they are of another network, or no module path or list of these.
    """
    for side, places in taps.items():
        if side not in DEFAULT_TAPS:
            raise ValueError(f'model.taps.{side}: taps are those of the student and of the teacher.')
        for name, place in places.items():
            if not place or not all(isinstance(path, str) for path in ([place] if isinstance(place, str) else place)):
                raise ValueError(f'model.taps.{side}.{name}={place!r} must be a module path or a list of them.')
    return {side: {**default, **taps.get(side, {})} for side, default in DEFAULT_TAPS.items()}


def resolve(tap: Union[str, list, dict], taps: Dict[str, Union[str, list]], key: str) -> Paths:
    """Module paths of a tap; a name that is no tap is a path itself.

    Raises:
        ValueError: If it is no name, nor a list or dict of names.
    """
    if isinstance(tap, dict):
        return {name: resolve(value, taps, f'{key}.{name}') for name, value in tap.items()}
    if isinstance(tap, (list, tuple)):
        return [resolve(value, taps, f'{key}[{i}]') for i, value in enumerate(tap)]
    if not isinstance(tap, str) or not tap:
        raise ValueError(f'{key}={tap!r} must be the name of a tap or of a module, or a list or dict of names.')
    name, colon, suffix = tap.partition(':')
    return apply(taps[name], lambda path: path + colon + suffix) if name in taps else tap


def apply(paths: Optional[Paths], function: Callable) -> object:
    """A structure of paths with what a function makes of each in its place."""
    if isinstance(paths, dict):
        return {name: apply(value, function) for name, value in paths.items()}
    if isinstance(paths, (list, tuple)):
        return [apply(value, function) for value in paths]
    return None if paths is None else function(paths)


def channels_of(feature: Tensor) -> int:
    """Channels of a recorded feature: maps (B, C, H, W) end in (C, H, W), tokens and vectors in (C,)."""
    return feature.shape[-3 if feature.dim() - feature.has_time == 4 else -1]


def shape_of(feature: Tensor) -> tuple:
    """(T, 1, ...) of a feature with time, else (1, ...)."""
    return tuple(feature.shape)
