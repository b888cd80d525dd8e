"""Where albumentations asks a transform for its parameters: not in the same place in all that goes by that name."""

from __future__ import annotations

from typing import Any

import albumentations as A


class SampledParameters:
    """AlbumentationsX 2.5 and later: one hook, with the random state of this call."""

    def sample_parameters(self, params: Any, data: Any, targets: Any, sampling: Any) -> Any:
        from albumentations.core.transform_params import SampledParams  # pyright: ignore[reportMissingImports]

        drawn = self.draw(data, sampling.py_random)  # type: ignore[attr-defined]
        return SampledParams(params={"drop": drawn}, target_params={})


class ParametersOfData:
    """albumentations 2.0.8: a hook of the sample, with the random state of the transform."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return {"drop": self.draw(data, self.py_random)}  # type: ignore[attr-defined]


Hooks: Any = SampledParameters if hasattr(A.BasicTransform, "sample_parameters") else ParametersOfData
