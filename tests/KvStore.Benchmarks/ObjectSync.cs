using System.Buffers;
using BenchmarkDotNet.Attributes;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Benchmarks;

/// <summary>Joining, filling, stripping and encoding of dotted objects, for a key with one value in a shard of three actors.</summary>
[MemoryDiagnoser]
public class ObjectSync
{
    private readonly ArrayBufferWriter<byte> _output = new(512);
    private VersionVector _base = null!;
    private DottedObject _older = null!;
    private DottedObject _newer = null!;
    private byte[] _stored = null!;

    [GlobalSetup]
    public void Make()
    {
        ActorId[] actors = [new(ActorId.FirstRandom + 1), new(ActorId.FirstRandom + 2), new(ActorId.FirstRandom + 3)];
        _base = VersionVector.Of(new Dot(actors[0], 1_000), new Dot(actors[1], 2_000), new Dot(actors[2], 3_000));
        HybridTimestamp timestamp = HybridTimestamp.FromPhysical(1_700_000_000_000);
        _older = DottedObject.Empty.Fill(_base).Write(new Dot(actors[0], 1_001), new byte[100], timestamp);
        _newer = DottedObject.Gone(_older.Context).Write(new Dot(actors[1], 2_001), new byte[100], timestamp.Next);
        _newer.Strip(_base).Encode(_output);
        _stored = _output.WrittenSpan.ToArray();
    }

    [Benchmark]
    public DottedObject Sync() => DottedObject.Sync(_older, _newer);

    [Benchmark]
    public DottedObject DecodeAndFill() => DottedObject.Decode(_stored).Fill(_base);

    [Benchmark]
    public int StripAndEncode()
    {
        _output.ResetWrittenCount();
        _newer.Strip(_base).Encode(_output);
        return _output.WrittenCount;
    }
}
