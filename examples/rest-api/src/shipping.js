export async function handler(event) {
  for (const record of event.Records) {
    const order = JSON.parse(record.Sns.Message);
    console.log(`order ${order.id} (${order.item}) is on its way`);
  }
}
