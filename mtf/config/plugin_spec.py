"""A plug-in in a config: its name, and options that its own constructor explains and checks."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mtf.errors import MtfError
from mtf.plugins import registry
from mtf.plugins.signature import options_model


def mistake(error: MtfError) -> PydanticCustomError:
    """An error of mtf in the form that pydantic collects."""
    parts = {"found": error.found, "expected": error.expected, "todo": error.todo}
    return PydanticCustomError("mtf", "{found}", parts)


class Strict(BaseModel):
    """Base of every section: unknown keys refused, no silent conversions, no infinities."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class PluginSpec(Strict):
    """``{name: dsc, kernel_size: 9}``: in files the options stand beside the name.

    Attributes:
        kind: kind of plug-in, set by each subclass; its further fields are keys of mtf itself.
        options: the constructor's keyword arguments, checked, defaults filled in.
    """

    kind: ClassVar[str]

    name: str = Field(description="name of the plug-in; `mtf list` shows what there is")
    options: dict[str, Any] = Field(default_factory=dict, validate_default=True)

    @classmethod
    def own_keys(cls) -> tuple[str, ...]:
        """Keys that belong to mtf and not to the plug-in."""
        return tuple(key for key in cls.model_fields if key != "options")

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        own = {key: item for key, item in value.items() if key in cls.own_keys()}
        return {**own, "options": {k: v for k, v in value.items() if k not in own}}

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        try:
            registry.find(cls.kind, name)
        except MtfError as error:
            raise mistake(error) from None
        return name

    @field_validator("options")
    @classmethod
    def _options_fit(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "name" not in info.data:  # unknown: said already
            return options
        try:
            model = options_model(registry.find(cls.kind, info.data["name"]))
        except MtfError as error:
            raise mistake(error) from None
        # By way of JSON, whose strict rules are those of YAML: a list may become a tuple, but text
        # no number. Its mistakes join those of the whole config.
        checked = model.model_validate_json(json.dumps(options))
        # As a file would say it. A default of another type than annotated is its author's affair.
        dumped: dict[str, Any] = checked.model_dump(mode="json", warnings=False)
        return dumped

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in self.own_keys()}
        return {**own, **self.options}


class DataSourceSpec(PluginSpec):
    """Where the candles come from."""

    kind = "data_source"


class FeatureSpec(PluginSpec):
    """What the encoder sees of each candle."""

    kind = "feature"

    name: str = Field("ohlcv", description="name of the feature set; `mtf list feature`")


class SideInputSpec(PluginSpec):
    """An input beside candles. Its key is its name unless ``name`` says one."""

    kind = "side_input"


class FusionSpec(PluginSpec):
    """How the tokens of all streams read each other."""

    kind = "fusion"

    name: str = Field("attention", description="name of the fusion; `mtf list fusion`")


class PolicySpec(PluginSpec):
    """What is held, given what the model said."""

    kind = "policy"

    name: str = Field("argmax", description="name of the policy; `mtf list policy`")


class BacktestSpec(PluginSpec):
    """How target positions are filled, and with how much money."""

    kind = "backtest"

    name: str = Field("candle", description="name of the engine; `mtf list backtest`")
    policy: PolicySpec = Field(
        default={}, validate_default=True, description="what is held, given what the model said"
    )
    capital: float = Field(100_000.0, gt=0, description="to begin with, in quote currency")
    used: float = Field(
        0.95, gt=0, le=1, description="share of the equity that a weight of 1 puts into the market"
    )
    leverage: float = Field(1.0, gt=0, description="largest value of a position over the equity")
    maintenance_margin: float = Field(
        0.005,
        ge=0,
        lt=1,
        description="fraction of the position's value; with less equity it is liquidated",
    )
