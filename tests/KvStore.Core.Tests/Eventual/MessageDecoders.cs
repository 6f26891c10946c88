using System.Buffers;
using CsCheck;
using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Tests.Versioning;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>Every decoder is total: a value, or the one documented exception.</summary>
public sealed class MessageDecoders
{
    private static readonly Key SomeKey = Key.FromText("key");

    private static readonly Action<ReadOnlyMemory<byte>>[] Decoders =
    [
        bytes => ReplicateMessage.Decode(bytes),
        bytes => ReplicateAcknowledged.Decode(bytes),
        bytes => ClockAdvertised.Decode(bytes),
        bytes => PullMessage.Decode(bytes),
        bytes => PullPage.Decode(bytes),
        bytes => FullCopyRequest.Decode(bytes),
        bytes => FullCopyPage.Decode(bytes),
        bytes => ReadRequest.Decode(bytes),
        bytes => ReadResponse.Decode(bytes),
        bytes => ClockAsked.Decode(bytes),
        bytes => ClockTold.Decode(bytes),
        bytes => SessionPosition.Decode(bytes),
        bytes => NewReplica().ReadState(bytes),
        bytes => NewReplica().Replay(1, bytes),
    ];

    [Fact]
    public void Random_bytes_decode_or_are_refused()
        => Gen.Byte.Array[0, 60].Sample(TryAll);

    [Fact]
    public void Mangled_messages_decode_or_are_refused()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Clocks, Gen.Int[0, 1_000], Gen.Byte).Sample((filled, clock, at, with) =>
        {
            foreach (byte[] bytes in Messages(filled, clock))
            {
                bytes[at % bytes.Length] = with;
                TryAll(bytes);
            }
        });

    [Fact]
    public void Messages_survive_their_encoding()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Clocks).Sample((filled, clock) =>
        {
            ReadResponse response = ReadResponse.Decode(Encoded(new ReadResponse(5, true, filled).Encode));
            response.Object.Should().Be(filled);
            ClockAdvertised.Decode(Encoded(new ClockAdvertised(clock, true).Encode)).Clock.Should().Be(clock);
            PullMessage.Decode(Encoded(new PullMessage(new ActorId(7), clock).Encode)).Clock.Should().Be(clock);
            ReplicateAcknowledged acknowledged = new(3, new ActorId(7), 9);
            ReplicateAcknowledged.Decode(Encoded(acknowledged.Encode)).Should().Be(acknowledged);
            ClockAsked.Decode(Encoded(new ClockAsked(6).Encode)).Number.Should().Be(6);
            ClockTold told = ClockTold.Decode(Encoded(new ClockTold(6, true, clock).Encode));
            (told.Number, told.Recovering).Should().Be((6, true));
            told.Clock.Should().Be(clock);
            ReadRequest.Decode(Encoded(new ReadRequest(8, SomeKey).Encode)).Key.Should().Be(SomeKey);
        });

    [Fact]
    public void An_object_that_does_not_account_for_its_dot_is_refused()
    {
        byte[] bytes = Encoded(output => ReplicateMessage.Encode(output, 1, SomeKey, new Dot(new ActorId(7), 3), DottedObject.Empty));
        FluentActions.Invoking(() => ReplicateMessage.Decode(bytes)).Should().Throw<MalformedRecordException>();
    }

    private static IEnumerable<byte[]> Messages(DottedObject filled, ShardClock clock)
    {
        Dot dot = new(new ActorId(7), 3);
        DottedObject written = filled.Write(dot, null, HybridTimestamp.Zero);
        yield return Encoded(output => ReplicateMessage.Encode(output, 1, SomeKey, dot, written));
        yield return Encoded(output => ReplicateMessage.Encode(output, 1, SomeKey, dot, written, new RequestId(9, 4, 0)));
        yield return Encoded(new ClockAdvertised(clock, false).Encode);
        yield return Encoded(new PullMessage(new ActorId(7), clock).Encode);
        yield return Encoded(new ReadResponse(1, false, filled).Encode);
        yield return Encoded(output => FullCopyPage.Encode(
            output, new FullCopyRequest(new ActorId(7), 1, default), new CopyCapture(clock, clock), [(SomeKey, Encoded(filled.Encode))], last: true));
        DottedReplica replica = NewReplica();
        byte[] record = replica.Write(SomeKey, DottedObject.Empty, "v"u8.ToArray(), HybridTimestamp.Zero, 0).Change.LogRecord.ToArray();
        yield return record;
        yield return Encoded(replica.WriteState);
        PagePlan plan = replica.AntiEntropy.Plan(new PullMessage(new ActorId(7), new ShardClock()));
        yield return Encoded(output => replica.AntiEntropy.Build(plan, _ => DottedObject.Empty, output));
    }

    private static DottedReplica NewReplica() => new(new ActorId(88_888), 0, new ShardClock(), [new NodeId(2)], DottedOptions.Default);

    private static byte[] Encoded(Action<ArrayBufferWriter<byte>> encode) => VersioningGen.Encoded(encode);

    private static void TryAll(byte[] bytes)
    {
        foreach (Action<ReadOnlyMemory<byte>> decode in Decoders)
        {
            try
            {
                decode(bytes);
            }
            catch (MalformedRecordException malformed)
            {
                malformed.Message.Should().NotBeEmpty();
            }
        }
    }
}
