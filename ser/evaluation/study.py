"""The section `study` of params.yaml: which arms are trained and compared."""

from pydantic import Field, field_validator

from ser.core.params import Config


class StudyConfig(Config):
    arms: list[str]  # on real clips
    generators: list[str]  # each has an arm on real and synthetic clips
    build_on: str
    enhanced: list[str]  # generators that enhance test clips
    recognising: list[str]  # generators that recognise test clips
    resamples: int = Field(gt=0)

    @field_validator("arms")
    @classmethod
    def _with_baseline(cls, arms: list[str]) -> list[str]:
        if "baseline" not in arms:
            raise ValueError("must hold `baseline`, from which embeddings and differences are taken")
        return arms

    @property
    def stage_of(self) -> dict[str, str]:
        """The stage of dvc.yaml that trains each arm, in the order in which arms are shown."""
        return {arm: f"train@{arm}" for arm in self.arms} | {arm: f"train_synthetic@{arm}" for arm in self.generators}
