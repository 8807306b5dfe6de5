"""The application's own section of `application.yaml`, checked before anything starts."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from kafkaboot import settings


class GeneratorSettings(BaseModel):
    """`shop.generator`: made-up customers, for a desk where no real ones come by."""

    model_config = ConfigDict(extra="forbid")

    rate: float = Field(0, ge=0, le=10_000, description="Orders a second; 0 places none.")
    customers: int = Field(100, ge=1, description="How many different customers order.")


@settings("shop")
class ShopSettings(BaseModel):
    """`shop`."""

    model_config = ConfigDict(extra="forbid")

    tax_rate: Decimal = Field(Decimal("0.19"), ge=0, lt=1, description="The share of the net price that is added.")
    shelf_size: int = Field(1000, ge=1, description="Pieces of each item on the shelf at the start.")
    low_stock: int = Field(50, ge=0, description="An item with fewer pieces than this is announced.")
    generator: GeneratorSettings = GeneratorSettings()
