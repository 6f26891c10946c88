namespace KvStore.Core.Replicas;

public sealed class ShardReplica
{
    public void OnDurable(LogPosition position) => _ = position;

    public void OnLoaded(ulong tag) => _ = tag;

    public void OnScanned(ScanPage page) => _ = page;

    public void OnInstalled(in ViewPosition position) => _ = position;
}
