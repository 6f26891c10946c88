using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// The state of a replica between restarts, without its dot-key index, which the view keeps as records of its own (so that a seal costs what changed, however far a peer lags).
/// </summary>
internal static class ReplicaStateCodec
{
    private const byte Format = 1;

    public static void Write(ReplicaState state, IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Format);
        VarInt.Write(output, state.Number);
        VarInt.Write(output, state.Self.Value);
        VarInt.Write(output, state.Minted);
        VarInt.WriteByte(output, state.Recovering ? (byte)1 : (byte)0);
        state.Unmapped.Encode(output);
        VarInt.Write(output, (ulong)state.Peers.PeerCount);
        for (int i = 0; i < state.Peers.PeerCount; i++)
        {
            VarInt.Write(output, state.Peers.PeerAt(i).Value);
            state.Peers.ClockAt(i).Encode(output);
        }

        // Where earlier versions listed deleted keys. They are found when all records are read after a start.
        VarInt.Write(output, 0);
    }

    public static void Read(ReplicaState state, ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        if (input.ReadByte() != Format)
        {
            MalformedRecordException.Throw("a dotted state has an unknown format");
        }

        state.Number = input.ReadVarInt();
        ActorId writer = input.ReadActor();
        ulong minted = input.ReadVarInt();
        if (writer == state.Self)
        {
            state.Minted = Math.Max(state.Minted, minted);
        }

        state.Recovering = input.ReadBool();
        ShardClock unmapped = ShardClock.Decode(ref input);
        state.Unmapped.Join(unmapped);
        state.Clock.Join(unmapped);
        state.Frontier.Reset(state.Clock.Clone(), state.Number);
        ReadPeers(state, ref input);
        for (int left = input.ReadCount(3); left > 0; left--)
        {
            Key key = input.ReadKey();
            state.Contexts.Note(key, VersionVector.Decode(ref input));
        }

        input.ExpectEnd();
    }

    private static void ReadPeers(ReplicaState state, ref BinaryCursor input)
    {
        for (int left = input.ReadCount(2); left > 0; left--)
        {
            ulong node = input.ReadVarInt();
            if (node is 0 or > NodeId.Max)
            {
                MalformedRecordException.Throw("a dotted state names no node");
            }

            state.Peers.Set(new NodeId((uint)node), ShardClock.Decode(ref input));
        }

        // What all peers have is not computed here: an entry that is restored after this, though the clocks read here cover it, would never be fresh again and so never be forgotten.
        state.Peers.Everywhere = new ShardClock();
    }
}
