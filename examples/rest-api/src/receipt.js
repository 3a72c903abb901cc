export async function handler(event) {
  for (const record of event.Records) {
    const order = JSON.parse(record.Sns.Message);
    console.log(`the receipt for order ${order.id} (${order.item}) is sent`);
  }
}
