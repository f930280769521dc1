"""What is in what the methods of a store give; nothing here is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_type

from casstore import (
    Aim,
    Attestation,
    CasstoreError,
    CheckResult,
    Collected,
    CollectionPlan,
    CollectionResult,
    Digest,
    DiskUsage,
    DiskUsageRow,
    EmptiedTrash,
    Event,
    FileChange,
    Finding,
    GcResult,
    HistoryRow,
    Image,
    ImageFile,
    ImageSummary,
    Keeper,
    Kept,
    LayerUse,
    LeaseInfo,
    LoadedImage,
    LoadResult,
    Outcome,
    PlatformRow,
    ProgressUpdate,
    PruneResult,
    PullResult,
    PushedTag,
    Reference,
    RemovalResult,
    Removed,
    Renamed,
    RestoreResult,
    SettingValue,
    SettleResult,
    Signed,
    Spared,
    Step,
    StoreFigures,
    TrashEntry,
    TreeRow,
    Verified,
    WrittenFiles,
)


def of_check_result(result: CheckResult) -> None:
    assert_type(result.blobs, int)
    assert_type(result.bytes, int)
    assert_type(result.clean, bool)
    assert_type(result.damaged, bool)
    assert_type(result.findings, tuple[Finding, ...])
    assert_type(result.repaired, tuple[str, ...])


def of_event(event: Event) -> None:
    assert_type(event.action, str)
    assert_type(event.actor_attributes, dict[str, str])
    assert_type(event.attributes, dict[str, str])
    assert_type(event.generation, int | None)
    assert_type(event.happened, int)
    assert_type(event.happened_at, datetime)
    assert_type(event.id, str)
    assert_type(event.image, Digest | None)
    assert_type(event.name, Reference | None)


def of_collected(collected: Collected) -> None:
    assert_type(collected.deleted, tuple[Digest, ...])
    assert_type(collected.freed, int)
    assert_type(collected.step, Step)


def of_collection_result(result: CollectionResult) -> None:
    assert_type(result.after, StoreFigures)
    assert_type(result.aims, tuple[Aim, ...])
    assert_type(result.before, StoreFigures)
    assert_type(result.duration, int)
    assert_type(result.ended, str)
    assert_type(result.freed, int)
    assert_type(result.garbage, GcResult)
    assert_type(result.kept, tuple[Spared, ...])
    assert_type(result.longest_turn, int)
    assert_type(result.plan, CollectionPlan)
    assert_type(result.policy, tuple[dict[str, object], ...])
    assert_type(result.reached, bool)
    assert_type(result.removed, tuple[Collected, ...])
    assert_type(result.turns, int)
    assert_type(result.warnings, tuple[str, ...])


def of_disk_usage(usage: DiskUsage) -> None:
    assert_type(usage.active, int)
    assert_type(usage.blobs, int)
    assert_type(usage.dangling, int)
    assert_type(usage.file_bytes, int)
    assert_type(usage.images, int)
    assert_type(usage.ingest_bytes, int)
    assert_type(usage.intermediate, int)
    assert_type(usage.orphan_bytes, int)
    assert_type(usage.orphans, int)
    assert_type(usage.reclaimable, int)
    assert_type(usage.rows, tuple[DiskUsageRow, ...])
    assert_type(usage.shared, int)
    assert_type(usage.stored, int)
    assert_type(usage.trash, int)
    assert_type(usage.trash_bytes, int)


def of_disk_usage_row(row: DiskUsageRow) -> None:
    assert_type(row.created, int | None)
    assert_type(row.created_at, datetime | None)
    assert_type(row.file_shared, int)
    assert_type(row.file_unique, int)
    assert_type(row.id, Digest)
    assert_type(row.leases, tuple[str, ...])
    assert_type(row.names, tuple[Reference, ...])
    assert_type(row.own, int)
    assert_type(row.shared, int)
    assert_type(row.size, int)
    assert_type(row.stored, int)
    assert_type(row.unique, int)


def of_emptied_trash(trash: EmptiedTrash) -> None:
    assert_type(trash.entries, tuple[int, ...])
    assert_type(trash.freed, int)
    assert_type(trash.warnings, tuple[str, ...])


def of_finding(finding: Finding) -> None:
    assert_type(finding.code, str)
    assert_type(finding.level, str)
    assert_type(finding.object, str)
    assert_type(finding.text, str)


def of_gc_result(result: GcResult) -> None:
    assert_type(result.findings, tuple[str, ...])
    assert_type(result.freed, int)
    assert_type(result.from_trash, int)
    assert_type(result.removed_blobs, int)
    assert_type(result.removed_files, int)
    assert_type(result.settled, int)
    assert_type(result.damaged, tuple[str, ...])


def of_settle_result(result: SettleResult) -> None:
    assert_type(result.settled, int)
    assert_type(result.left, int)
    assert_type(result.damaged, tuple[str, ...])
    assert_type(result.warnings, tuple[str, ...])


def of_file_change(change: FileChange) -> None:
    assert_type(change.path, str)
    assert_type(change.change, str)
    assert_type(change.before, ImageFile | None)
    assert_type(change.after, ImageFile | None)
    assert_type(change.what, tuple[str, ...])


def of_layer_use(use: LayerUse) -> None:
    assert_type(use.created_by, str)
    assert_type(use.deleted, int)
    assert_type(use.deleted_files, int)
    assert_type(use.digest, Digest)
    assert_type(use.files, int)
    assert_type(use.hidden, int)
    assert_type(use.overwritten, int)
    assert_type(use.overwritten_files, int)
    assert_type(use.size, int)


def of_image_file(file: ImageFile) -> None:
    assert_type(file.path, str)
    assert_type(file.name, bytes)
    assert_type(file.kind, str)
    assert_type(file.mode, int)
    assert_type(file.uid, int)
    assert_type(file.gid, int)
    assert_type(file.size, int)
    assert_type(file.mtime, int)
    assert_type(file.modified_at, datetime)
    assert_type(file.target, str | None)
    assert_type(file.device, tuple[int, int] | None)
    assert_type(file.xattrs, Mapping[str, bytes])
    assert_type(file.sha256, str | None)
    assert_type(file.layer, Digest | None)
    assert_type(file.raw_target, bytes)
    assert_type(file.is_shared, bool)
    assert_type(file.inode, tuple[Digest | None, int])
    assert_type(file.is_file, bool)
    assert_type(file.is_directory, bool)


def of_history_row(row: HistoryRow) -> None:
    assert_type(row.comment, str)
    assert_type(row.created, int | None)
    assert_type(row.created_at, datetime | None)
    assert_type(row.created_by, str)
    assert_type(row.id, Digest | None)
    assert_type(row.size, int)
    assert_type(row.tags, tuple[Reference, ...])


def of_image(image: Image) -> None:
    assert_type(image.architecture, str)
    assert_type(image.created, int | None)
    assert_type(image.created_at, datetime | None)
    assert_type(image.arrived, int | None)
    assert_type(image.settled, bool)
    assert_type(image.arrived_at, datetime | None)
    assert_type(image.id, Digest)
    assert_type(image.labels, tuple[tuple[str, str], ...])
    assert_type(image.layers, tuple[Digest, ...])
    assert_type(image.manifests, tuple[Digest, ...])
    assert_type(image.names, tuple[Reference, ...])
    assert_type(image.os, str)
    assert_type(image.parent, Digest | None)
    assert_type(image.size, int)
    assert_type(image.variant, str)


def of_image_summary(summary: ImageSummary) -> None:
    assert_type(summary.children, int)
    assert_type(summary.created, int | None)
    assert_type(summary.created_at, datetime | None)
    assert_type(summary.id, Digest)
    assert_type(summary.labels, tuple[tuple[str, str], ...])
    assert_type(summary.names, tuple[Reference, ...])
    assert_type(summary.own_size, int)
    assert_type(summary.parent, Digest | None)
    assert_type(summary.pinned, bool)
    assert_type(summary.settled, bool)
    assert_type(summary.size, int)


def of_keeper(keeper: Keeper) -> None:
    assert_type(keeper.detail, str)
    assert_type(keeper.digest, Digest | None)
    assert_type(keeper.kind, str)
    assert_type(keeper.text, str)


def of_kept(kept: Kept) -> None:
    assert_type(kept.digest, Digest)
    assert_type(kept.keepers, tuple[Keeper, ...])
    assert_type(kept.kind, str)
    assert_type(kept.size, int)


def of_lease_info(info: LeaseInfo) -> None:
    assert_type(info.expires, int | None)
    assert_type(info.expires_at, datetime | None)
    assert_type(info.holder, str)
    assert_type(info.image, Digest)
    assert_type(info.kind, str)
    assert_type(info.name, str)


def of_load_result(result: LoadResult) -> None:
    assert_type(result.images, tuple[LoadedImage, ...])
    assert_type(result.warnings, tuple[str, ...])


def of_loaded_image(image: LoadedImage) -> None:
    assert_type(image.changed, tuple[Reference, ...])
    assert_type(image.id, Digest)
    assert_type(image.kept, tuple[Reference, ...])
    assert_type(image.names, tuple[Reference, ...])
    assert_type(image.renamed, tuple[Renamed, ...])


def of_outcome(outcome: Outcome) -> None:
    assert_type(outcome.argument, str)
    assert_type(outcome.error, CasstoreError | None)
    assert_type(outcome.kept, tuple[str, ...])
    assert_type(outcome.lines, tuple[Removed, ...])
    assert_type(outcome.trash, int | None)


def of_platform_row(row: PlatformRow) -> None:
    assert_type(row.id, Digest)
    assert_type(row.manifest, Digest)
    assert_type(row.media_type, str)
    assert_type(row.platform, str)
    assert_type(row.size, int)


def of_progress_update(update: ProgressUpdate) -> None:
    assert_type(update.done, int)
    assert_type(update.finished, bool)
    assert_type(update.item, str)
    assert_type(update.name, str)
    assert_type(update.total, int | None)
    assert_type(update.unit, str)


def of_prune_result(result: PruneResult) -> None:
    assert_type(result.freed, int)
    assert_type(result.reclaimed, int)
    assert_type(result.removed, Sequence[Removed])
    assert_type(result.warnings, tuple[str, ...])
    assert_type(result.turns, int)
    assert_type(result.error, CasstoreError | None)
    assert_type(result.stopped, bool)


def of_pull_result(result: PullResult) -> None:
    assert_type(result.images, tuple[LoadedImage, ...])
    assert_type(result.is_news, bool)
    assert_type(result.warnings, tuple[str, ...])


def of_pushed_tag(tag: PushedTag) -> None:
    assert_type(tag.digest, Digest)
    assert_type(tag.image, Digest)
    assert_type(tag.name, Reference)
    assert_type(tag.size, int)


def of_removal_result(result: RemovalResult) -> None:
    assert_type(result.exit_code, int)
    assert_type(result.freed, int)
    assert_type(result.outcomes, tuple[Outcome, ...])
    assert_type(result.warnings, tuple[str, ...])


def of_removed(removed: Removed) -> None:
    assert_type(removed.digest, Digest | None)
    assert_type(removed.file_bytes, int)
    assert_type(removed.kind, str)
    assert_type(removed.role, str)
    assert_type(removed.size, int)
    assert_type(removed.text, str)


def of_renamed(renamed: Renamed) -> None:
    assert_type(renamed.name, Reference)
    assert_type(renamed.old, Digest)


def of_restore_result(result: RestoreResult) -> None:
    assert_type(result.images, tuple[Digest, ...])
    assert_type(result.names, tuple[Reference, ...])
    assert_type(result.warnings, tuple[str, ...])


def of_setting_value(value: SettingValue) -> None:
    assert_type(value.default, str)
    assert_type(value.help, str)
    assert_type(value.is_set, bool)
    assert_type(value.name, str)
    assert_type(value.value, str)


def of_signed(signed: Signed) -> None:
    assert_type(signed.artifact, Reference | None)
    assert_type(signed.digest, Digest)
    assert_type(signed.manifest, Digest)
    assert_type(signed.name, Reference)


def of_store_figures(figures: StoreFigures) -> None:
    assert_type(figures.blobs, int)
    assert_type(figures.dangling, int)
    assert_type(figures.disk_free, int)
    assert_type(figures.disk_total, int)
    assert_type(figures.images, int)
    assert_type(figures.references, int)
    assert_type(figures.used, int)


def of_trash_entry(entry: TrashEntry) -> None:
    assert_type(entry.expires, int)
    assert_type(entry.expires_at, datetime)
    assert_type(entry.id, int)
    assert_type(entry.images, tuple[Digest, ...])
    assert_type(entry.names, tuple[Reference, ...])
    assert_type(entry.removed, int)
    assert_type(entry.removed_at, datetime)
    assert_type(entry.size, int)


def of_tree_row(row: TreeRow) -> None:
    assert_type(row.below, int)
    assert_type(row.created, int | None)
    assert_type(row.created_at, datetime | None)
    assert_type(row.depth, int)
    assert_type(row.image, Digest | None)
    assert_type(row.last, bool)
    assert_type(row.layers, tuple[Digest, ...])
    assert_type(row.names, tuple[Reference, ...])
    assert_type(row.own, int)
    assert_type(row.size, int)
    assert_type(row.stored, int)


def of_verified(verified: Verified) -> None:
    assert_type(verified.digest, Digest)
    assert_type(verified.name, Reference)
    assert_type(verified.payloads, tuple[bytes, ...])


def of_attestation(attestation: Attestation) -> None:
    assert_type(attestation.attached, Digest)
    assert_type(attestation.digest, Digest)
    assert_type(attestation.found, str)
    assert_type(attestation.is_statement, bool)
    assert_type(attestation.manifest, Digest)
    assert_type(attestation.media_type, str)
    assert_type(attestation.name, Reference | None)
    assert_type(attestation.of_image, bool)
    assert_type(attestation.predicate, dict[str, Any])
    assert_type(attestation.predicate_bytes, bytes)
    assert_type(attestation.predicate_type, str)
    assert_type(attestation.problem, str)
    assert_type(attestation.signed, bool)
    assert_type(attestation.size, int)
    assert_type(attestation.statement, bytes)
    assert_type(attestation.subjects, tuple[Digest, ...])
    assert_type(attestation.verified, bool | None)


def of_written_files(written: WrittenFiles) -> None:
    assert_type(written.devices, int)
    assert_type(written.entries, int)
    assert_type(written.setids, int)
    assert_type(written.xattrs, int)
