using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// The sender durably holds the write of that operation, and with it every dot of the actor up to <see cref="DurableBase"/>, which lets the coordinator forget their keys early.
/// </summary>
public readonly record struct ReplicateAcknowledged(ulong Operation, ActorId Actor, ulong DurableBase)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Operation);
        VarInt.Write(output, Actor.Value);
        VarInt.Write(output, DurableBase);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ReplicateAcknowledged Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ulong operation = input.ReadVarInt();
        ActorId actor = input.ReadActor();
        ulong durableBase = input.ReadVarInt();
        input.ExpectEnd();
        if (durableBase > Dot.MaxCounter)
        {
            MalformedRecordException.Throw("a base is out of range");
        }

        return new ReplicateAcknowledged(operation, actor, durableBase);
    }
}

/// <summary>The sender's durable clock, sent about once a second when it changed. It heals every lost message: who lacks something pulls it.</summary>
/// <param name="Clock">What the sender would still have after a power loss.</param>
/// <param name="Recovering">The sender is no source and no quorum member: its data may be incomplete.</param>
public sealed record ClockAdvertised(ShardClock Clock, bool Recovering)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Recovering ? (byte)1 : (byte)0);
        Clock.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static ClockAdvertised Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        bool recovering = input.ReadBool();
        ShardClock clock = ShardClock.Decode(ref input);
        input.ExpectEnd();
        return new ClockAdvertised(clock, recovering);
    }
}

/// <summary>Asks for a page of what the sender lacks.</summary>
/// <param name="Asker">Comes back with the page.</param>
/// <param name="Clock">All that it has, durable or not.</param>
public sealed record PullMessage(ActorId Asker, ShardClock Clock)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Asker.Value);
        Clock.Encode(output);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static PullMessage Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        ActorId asker = input.ReadActor();
        ShardClock clock = ShardClock.Decode(ref input);
        input.ExpectEnd();
        return new PullMessage(asker, clock);
    }
}
