"""Settings: one TOML file, checked key by key, with defaults that suit a retailer."""

from typing import Final

import msgspec

from segstream.core.layout import Policy
from segstream.core.spec import CompiledSpec, Feature, Measure, Spec
from segstream.core.trainer_state import TrainerSettings
from segstream.errors import ConfigError
from segstream.kafka_settings import KafkaSettings

SWEEP_HOURS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
MONEY: Final = "money"
"""The unit of a feature in currency units; it is shown with the currency's sign."""
CURRENCY_SIGNS: Final = {"USD": "$", "GBP": "£", "EUR": "€"}


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What governs publishing.

    Attributes
    ----------
    margin
        A customer leaves segment s for t only if d2(t) < (1 - margin) d2(s); 0 to below 1.
    dwell_days
        Event time to stay in a segment before the next change.
    min_events
        Events before a first segment.
    sweep_hours
        Everybody is evaluated once in so many hours, whether or not anything happened.
    forget_after_days
        Silence after which a customer leaves with reason `forgotten`.
    """

    margin: float = 0.29
    dwell_days: float = 0.0
    min_events: int = 1
    sweep_hours: int = 1
    forget_after_days: int = 800


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What moves the clock.

    Attributes
    ----------
    max_jump_days
        An event further ahead of the clock is a dead letter: it would make everybody silent.
    max_silence_hours
        The wall clock moves a live stream only while its newest event is younger: an outage
        upstream stops time instead of declaring everybody silent.
    """

    max_jump_days: float = 60.0
    max_silence_hours: float = 24.0


class DeadLetterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to stop.

    Attributes
    ----------
    max_share
        Of the last 10,000 entries; above it the run stops before the batch is committed.
    """

    max_share: float = 0.1


class InsightsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted of products, categories and customers in each segment.

    Attributes
    ----------
    enabled
        Whether `run` keeps what was bought in its state; the role `insights` counts in any case.
    days
        Days of event time that are counted; 0 is the longest window of the features.
    past_days
        Days of event time for which the role `insights` keeps each order and change, to say what
        followed changes; `run` keeps all.
    max_products
        Different products that are told apart exactly; beyond them rare ones are left out.
    products_file
        A CSV file with product names, read when a run begins; empty shows ids.
    product_id, product_name
        Its columns.
    """

    enabled: bool = True
    days: int = 0
    past_days: int = 400
    max_products: int = 200_000
    products_file: str = ""
    product_id: str = "product_id"
    product_name: str = "name"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a run can be told.

    Attributes
    ----------
    namespace
        Names the customer base; part of every change id.
    currency
        The one currency amounts are in; another is a dead letter. Empty takes what comes.
    batch_bytes
        Input per batch.
    playbook
        What segments are called and what to do about them: a name that comes with Segstream, or
        the path of a .toml file. Another one takes effect at the next check of the names.
    """

    namespace: str = "default"
    currency: str = ""
    batch_bytes: int = 4 * 1024 * 1024
    playbook: str = "retail"
    policy: PolicySettings = PolicySettings()
    model: TrainerSettings = TrainerSettings()
    clock: ClockSettings = ClockSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    insights: InsightsSettings = InsightsSettings()
    kafka: KafkaSettings = KafkaSettings()
    measures: tuple[Measure, ...] = ()
    features: tuple[Feature, ...] = ()

    @property
    def spec(self) -> Spec:
        """The feature spec: the retail default where none is declared."""
        features = self.features or RETAIL.features
        sign = CURRENCY_SIGNS.get(self.currency, self.currency)
        told = tuple(
            msgspec.structs.replace(f, unit=sign) if f.unit == MONEY else f for f in features
        )
        return Spec(self.measures or RETAIL.measures, told)


RETAIL: Final = Spec(
    measures=(
        Measure("orders", ("purchase",), "order"),
        Measure("spend", ("purchase", "return"), "amount"),
        Measure("units", ("purchase", "return"), "quantity"),
        Measure("returns", ("return",), "event"),
    ),
    features=(
        Feature(
            "orders_112d", "count", measure="orders", window_days=112, transform="log1p",
            label="orders in 112 days",
        ),
        Feature(
            "spend_112d", "sum", measure="spend", window_days=112, transform="log1p", least=0.0,
            label="spend in 112 days", unit="money",
        ),
        # Silence in the customer's own intervals, with a free zone and a ceiling: recency in days
        # is either late for regulars or restless for the rest (docs/segments.md has the figures).
        Feature(
            "overdue", "overdue", measure="orders", floor=5.0, ceiling=28.0, offset=3.5, clip=2.0,
            weight=1.2, label="silence in usual intervals",
        ),
        Feature(
            "order_value", "mean", measure="spend", per="orders", transform="log1p", scale=10.0,
            least=0.0, label="spend per order", unit="money",
        ),
        Feature(
            "order_units", "mean", measure="units", per="orders", transform="log1p", scale=10.0,
            least=0.0, label="units per order",
        ),
        Feature(
            "orders_total", "count", measure="orders", transform="log1p", scale=5.0,
            label="orders so far",
        ),
        Feature(
            "recency_days", "recency", measure="orders", use="describe",
            label="days since the last order", unit="days",
        ),
        Feature(
            "tenure_days", "tenure", use="describe", label="days since first seen", unit="days",
        ),
    ),
)  # fmt: skip


def load_settings(text: str, where: str) -> Settings:
    """Read and check a settings file.

    Parameters
    ----------
    where
        Its name, for messages.

    Raises
    ------
    ConfigError
        With the key, what was expected and what came.
    """
    try:
        settings = msgspec.toml.decode(text, type=Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}; docs/settings.md lists the keys") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: expected TOML, got {error}") from error
    check_settings(settings, where)
    return settings


def check_settings(settings: Settings, where: str) -> None:
    """Refuse values that types alone do not.

    Raises
    ------
    ConfigError
    """
    policy, model, drift = settings.policy, settings.model, settings.model.drift
    rules = (
        ("namespace", settings.namespace, bool(settings.namespace), "a name"),
        ("policy.margin", policy.margin, 0 <= policy.margin < 1, "0 <= margin < 1"),
        ("policy.dwell_days", policy.dwell_days, policy.dwell_days >= 0, ">= 0"),
        ("policy.min_events", policy.min_events, policy.min_events >= 1, ">= 1"),
        ("policy.sweep_hours", policy.sweep_hours, policy.sweep_hours in SWEEP_HOURS,
         f"one of {', '.join(map(str, SWEEP_HOURS))}"),
        ("policy.forget_after_days", policy.forget_after_days, policy.forget_after_days >= 1,
         ">= 1"),
        ("clock.max_jump_days", settings.clock.max_jump_days, settings.clock.max_jump_days > 0,
         "> 0"),
        ("dead_letters.max_share", settings.dead_letters.max_share,
         0 <= settings.dead_letters.max_share <= 1, "0 to 1"),
        ("batch_bytes", settings.batch_bytes, settings.batch_bytes >= 1, ">= 1"),
        ("insights.days", settings.insights.days, settings.insights.days >= 0, ">= 0"),
        ("insights.past_days", settings.insights.past_days,
         settings.insights.past_days >= 1, ">= 1"),
        ("insights.max_products", settings.insights.max_products,
         settings.insights.max_products >= 1, ">= 1"),
        ("playbook", settings.playbook, bool(settings.playbook), "a name or a path"),
        ("model.k", model.k, model.k == "auto" or 1 <= model.k <= 64, "1 to 64, or \"auto\""),
        ("model.starts", model.starts, model.starts >= 1, ">= 1"),
        ("model.rate", model.rate, 0 < model.rate <= 1, "0 < rate <= 1"),
        ("model.gate.gain", model.gate.gain, 0 <= model.gate.gain < 1, "0 <= gain < 1"),
        ("model.gate.churn", model.gate.churn, 0 <= model.gate.churn <= 1, "0 to 1"),
        ("model.gate.smallest", model.gate.smallest, 0 <= model.gate.smallest < 1, "0 to 1"),
        ("model.gate.upkeep", model.gate.upkeep, 0 <= model.gate.upkeep <= 1, "0 to 1"),
        ("model.drift.adwin_delta", drift.adwin_delta, 0 < drift.adwin_delta < 1, "0 to 1"),
        ("model.drift.psi_act", drift.psi_act, drift.psi_act >= drift.psi_warn > 0,
         "at least psi_warn, over 0"),
        ("model.min_panel", model.min_panel, model.min_panel >= 2, ">= 2"),
        ("model.panel_size", model.panel_size, model.panel_size >= 100, ">= 100"),
    )  # fmt: skip
    for key, value, fine, expected in rules:
        if not fine:
            raise ConfigError(f"{where}: {key}: expected {expected}, got {value!r}")


def policy_of(settings: Settings) -> Policy:
    """Return the policy as the kernel reads it."""
    policy = settings.policy
    return Policy(
        margin=float(policy.margin),
        dwell_ms=round(policy.dwell_days * 86_400_000),
        min_events=policy.min_events,
        sweep_minutes=60 * policy.sweep_hours,
        forget_hours=24 * policy.forget_after_days,
        panel_bits=0,
        observe_events=int(settings.model.learner == "river"),
    )


def compile_spec(settings: Settings) -> CompiledSpec:
    """Check the spec and compile it.

    Raises
    ------
    ConfigError
    """
    return CompiledSpec(settings.spec)
