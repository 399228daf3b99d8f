"""Every projection of the product, one line each. A projection that is not here does not run."""

from projections.projector import AnyProjection

PROJECTIONS: tuple[type[AnyProjection], ...] = ()
