"""Networks that judge and do not learn."""

from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """Turn every parameter of a network into a buffer that is not saved.

    A judge's weights come from elsewhere and never change: as parameters they would be counted, averaged, sent between
    processes with gradients in mind, and written into every checkpoint. They still move with `.to(device)`.

    Args:
        network: changed in place; without dropout or batch normalisation, whose mode would matter.

    Returns:
        The network.

    Example:
        >>> network = freeze(nn.Linear(2, 3))
        >>> list(network.parameters()), list(network.state_dict()), [name for name, _ in network.named_buffers()]
        ([], [], ['weight', 'bias'])
    """
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach(), persistent=False)
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer, persistent=False)
    return network
