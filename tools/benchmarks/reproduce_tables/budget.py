"""What every learner of a network may use."""

from dataclasses import dataclass

from natonnx.search import Settings

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget:
    """What every learner of a network may use.

    Attributes:
        epochs: Passes of training from scratch.
        rate: Its highest learning rate.
        batch: Training batch.
        search_epochs: Passes of Algorithm 1.
        search_rate: Learning rate of its shared weights.
        alphas: α's that it draws for each β.
        reward_batch: Pictures that it compares them on.
        evaluated: α's that are scored on all of validation in the end; the best one is trained.
        target_madds: Most MAdds, as a fraction of β's; None where transitions alone limit it, as in the paper.
    """

    epochs: float = 30
    rate: float = 0.1
    batch: int = 64
    search_epochs: int = 8
    search_rate: float = 0.01
    alphas: int = 8
    reward_batch: int = 125
    evaluated: int = 18
    target_madds: float | None = None

    def settings(self, learner: str, seed: int) -> Settings:
        """The settings of a search; shared weights start from the network's random ones, and nothing is distilled."""
        return Settings(
            algorithm="paper",
            learner=learner,
            seed=seed,
            finetune_epochs=0,
            finalists=1,
            distillation=0.0,
            batch=self.batch,
            epochs=self.search_epochs,
            learning_rate=self.search_rate,
            alphas=self.alphas,
            reward_batch=self.reward_batch,
            evaluated=self.evaluated,
            target_madds=self.target_madds,
        )

    def training(self, seed: int) -> Settings:
        """The settings of training from scratch."""
        return Settings(weights="scratch", seed=seed, batch=self.batch, finetune_learning_rate=self.rate)
