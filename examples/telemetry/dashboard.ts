/** What a dashboard shows of collections: each panel a question, and the query that answers it, in PromQL. */

export interface Panel {
  readonly title: string;
  readonly query: string;
}

export const DASHBOARD: readonly Panel[] = [
  { title: "Runs by how they ended", query: "sum by (registry_gc_status) (increase(registry_gc_run_duration_count[1d]))" },
  {
    title: "Alert: a run failed or was refused, and why",
    query: 'sum by (error_type) (increase(registry_gc_run_duration_count{registry_gc_status!="completed"}[1d])) > 0',
  },
  {
    title: "Alert: no run has ended well for two days",
    query: 'absent(increase(registry_gc_run_duration_count{registry_gc_operation="collect",registry_gc_status="completed"}[2d]) > 0)',
  },
  {
    title: "How long a run takes, at worst",
    query: "histogram_quantile(1, sum by (le) (increase(registry_gc_run_duration_bucket[7d])))",
  },
  {
    title: "Where the time goes",
    query: "sum by (registry_gc_phase) (increase(registry_gc_phase_duration_sum[1d]))",
  },
  { title: "Bytes that were deleted", query: "sum(increase(registry_gc_bytes_deleted_total[1d]))" },
  {
    title: "Bytes that dry runs would delete",
    query: 'sum(increase(registry_gc_bytes_eligible_total{registry_gc_dry_run="true"}[1d]))',
  },
  { title: "What was deleted, by kind", query: "sum by (registry_gc_item_kind) (increase(registry_gc_items_deleted_total[1d]))" },
  {
    title: "Bytes that were put aside, to be deleted by a later run",
    query: "sum(increase(registry_gc_bytes_quarantined_total[1d]))",
  },
  {
    title: "Bytes that were deleted after they had been aside",
    query: "sum(increase(registry_gc_bytes_purged_total[1d]))",
  },
  {
    title: "Share of the plan that was carried out",
    query:
      '((sum(increase(registry_gc_items_deleted_total{registry_gc_dry_run="false"}[1d])) or vector(0)) + (sum(increase(registry_gc_items_quarantined_total[1d])) or vector(0))) / sum(increase(registry_gc_items_eligible_total{registry_gc_dry_run="false"}[1d]))',
  },
  {
    title: "Blobs in use, as the day's runs saw them",
    query:
      'sum(increase(registry_gc_items_marked_total{registry_gc_item_kind="blobs"}[1d])) / sum(increase(registry_gc_run_duration_count{registry_gc_operation!="restore"}[1d]))',
  },
  { title: "Deletes that failed, by the storage's code", query: "sum by (error_type) (increase(registry_gc_failures_total[1d]))" },
  {
    title: "Calls to the storage, which an object store may charge for",
    query: "sum by (registry_gc_storage_method) (increase(registry_gc_storage_calls_total[1d]))",
  },
];
