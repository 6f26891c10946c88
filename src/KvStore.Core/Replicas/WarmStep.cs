namespace KvStore.Core.Replicas;

/// <summary>The steps of a lookup ahead of time, each of which needs what the one before has brought.</summary>
public enum WarmStep : byte
{
    /// <summary>The place of the hash.</summary>
    Index = 0,

    /// <summary>The slot that it leads to.</summary>
    Slot = 1,

    /// <summary>Key and record.</summary>
    Bytes = 2,
}
