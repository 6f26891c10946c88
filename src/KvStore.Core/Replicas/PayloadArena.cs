namespace KvStore.Core.Replicas;

/// <summary>
/// Hands out memory for entry payloads from chunks, so that proposing allocates once per chunk and not once per write. Memory is never reused: a chunk lives as long as
/// an entry of the log points into it, which the log's own bound limits.
/// </summary>
internal sealed class PayloadArena
{
    private const int ChunkBytes = 64 * 1024;

    /// <summary>Larger payloads get an array of their own, so that they waste no chunk.</summary>
    private const int LargestShared = 8 * 1024;

    private byte[] _chunk = [];
    private int _used;

    public Memory<byte> Take(int length)
    {
        if (length > LargestShared)
        {
            return GC.AllocateUninitializedArray<byte>(length);
        }

        if (_chunk.Length - _used < length)
        {
            _chunk = GC.AllocateUninitializedArray<byte>(ChunkBytes);
            _used = 0;
        }

        Memory<byte> taken = _chunk.AsMemory(_used, length);
        _used += length;
        return taken;
    }
}
