"""The caller and the gateway."""

import strawberry

import trading.permission
from resolvers.context import Info
from schema.context import Gateway
from schema.definition import AUTHENTICATED, field
from schema.gateway import GatewayInfo
from schema.viewer import Viewer
from trading.permission import Permission


def describe_viewer(info: Info) -> trading.permission.Principal:
    """Return the caller."""
    return info.context.caller


def describe_gateway(info: Info) -> Gateway:
    """Return what the gateway tells of itself."""
    return info.context.gateway


@strawberry.type
class ViewerQuery:
    viewer: Viewer = field(
        "Who you are, and what you may do.", requires=AUTHENTICATED, resolver=describe_viewer
    )
    gateway: GatewayInfo = field(
        "This gateway.", requires=Permission.GATEWAY_READ, resolver=describe_gateway
    )
