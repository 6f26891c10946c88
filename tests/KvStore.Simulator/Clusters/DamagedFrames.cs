namespace KvStore.Simulator.Clusters;

/// <summary>
/// Damages some frames on their way, so that the receiver can know it: cuts them short, or puts bytes in front that no frame begins with. (A flipped bit inside a value is what TCP's and TLS's checksums are for.)
/// </summary>
internal static class DamagedFrames
{
    /// <summary>Wire type 7 does not exist.</summary>
    private const byte NoTag = 0x0F;

    /// <returns>The same array if the frame arrives whole.</returns>
    public static byte[] Pass(World world, ClusterNode at, byte[] frame)
    {
        if (world.Settings.Damage == 0 || world.Damage.NextDouble() >= world.Settings.Damage || frame.Length < 2)
        {
            return frame;
        }

        if (world.Damage.Next(2) == 0)
        {
            world.Trace.Fault("truncated frame", at.Index);
            return frame[..world.Damage.Next(1, frame.Length)];
        }

        world.Trace.Fault("corrupted frame", at.Index);
        return [NoTag, .. frame];
    }
}
